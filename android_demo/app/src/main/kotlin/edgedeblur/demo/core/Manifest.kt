package edgedeblur.demo.core

import java.security.MessageDigest

private const val SCHEMA_VERSION = 1L

/** Rows and columns, in pixels. */
data class Size(val height: Int, val width: Int) {
    override fun toString() = "${height}x$width"
}

/**
 * The model's input or output, as the manifest describes it.
 *
 * @property layout `NHWC` or `NCHW`.
 * @property dtype `float32`, `uint8` or `int8`.
 * @property colour `RGB` or `BGR`.
 * @property low the value that stands for black, -1 in the network's own numbers.
 * @property high the value that stands for white.
 */
data class TensorSpec(
    val name: String,
    val size: Size,
    val dtype: String,
    val layout: String,
    val colour: String,
    val low: Double,
    val high: Double,
) {
    val bytes get() = size.height * size.width * 3 * (if (dtype == "float32") 4 else 1)

    /** As the interpreter counts: batch, rows, columns, channels in the layout's order. */
    val shape
        get() =
            if (layout == "NHWC") listOf(1, size.height, size.width, 3) else listOf(1, 3, size.height, size.width)
}

/**
 * What the app needs to know of a model; everything else stays in [body].
 *
 * @property receptiveRadius how far an output pixel sees, in pixels; null for live norms: everything.
 * @property bytes size of the model's file; 0 in a manifest embedded into that file.
 */
data class Manifest(
    val target: String,
    val backbone: String,
    val norm: String,
    val checkpointSha256: String,
    val input: TensorSpec,
    val output: TensorSpec,
    val sizeMultiple: Int,
    val receptiveRadius: Int?,
    val params: Long,
    val macs: Long?,
    val bytes: Long,
    val sha256: String,
    val parityPsnrDb: Double?,
    val body: Json.Object,
) {
    /** One line for lists and results. */
    val title get() = "$backbone, $target, ${input.size}, norms $norm"

    companion object {
        /**
         * Read the text of a `.json` beside a model, or of the metadata inside it.
         *
         * @throws Problem not a manifest, of another version, edited, or of a model that the app cannot run.
         */
        fun parse(text: String, origin: String): Manifest {
            val body = Json.parse(text, origin) as? Json.Object ?: throw Problem("$origin is not a manifest.")
            return ManifestReader(body, origin).manifest()
        }
    }
}

/** @throws Problem if [bytes] and [sha256] are not those of the file that the manifest describes. */
fun Manifest.checkFile(name: String, bytes: Long, sha256: String) {
    if (bytes != this.bytes || sha256 != this.sha256) {
        throw Problem("$name is not the file that its manifest describes; export it again and copy both files.")
    }
}

fun sha256Hex(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").digest(bytes))

fun hex(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }

private class ManifestReader(private val body: Json.Object, private val origin: String) {
    fun manifest(): Manifest {
        val version = body.fields["schema_version"]
        if (version != Json.Number(SCHEMA_VERSION.toString())) {
            throw Problem("$origin is a manifest of another version of edgedeblur; export the model again.")
        }
        checkDigest()
        val input = tensor("input")
        val output = tensor("output")
        if (input.size != output.size) throw Problem("$origin: the output size ${output.size} differs from the input size ${input.size}.")
        return Manifest(
            target = text(body, "target"),
            backbone = text(body, "backbone"),
            norm = text(body, "norm"),
            checkpointSha256 = text(section("checkpoint"), "sha256"),
            input = input,
            output = output,
            sizeMultiple = positive("size_multiple"),
            receptiveRadius = optionalLong("receptive_radius_px")?.toInt(),
            params = long("params"),
            macs = optionalLong("macs"),
            bytes = long("bytes"),
            sha256 = text(body, "sha256"),
            parityPsnrDb = parity(),
            body = body,
        )
    }

    private fun checkDigest() {
        val rest = Json.Object(body.fields - "digest")
        if (text(body, "digest") != sha256Hex(rest.canonical().toByteArray())) {
            throw Problem("$origin was altered after export (its digest does not match); export the model again.")
        }
    }

    /** PSNR to PyTorch at export; null where it was not measured, infinite where nothing differed. */
    private fun parity(): Double? {
        val parity = body.fields["parity"] as? Json.Object ?: return null
        return when (val value = parity.fields["psnr_db"]) {
            is Json.Number -> value.toDouble()
            is Json.Null -> Double.POSITIVE_INFINITY
            else -> bad("parity.psnr_db")
        }
    }

    private fun tensor(name: String): TensorSpec {
        val spec = section(name)
        val layout = text(spec, "layout")
        val dtype = text(spec, "dtype")
        val colour = text(spec, "colour")
        if (layout !in setOf("NHWC", "NCHW")) throw Problem("$origin: the app does not know layout $layout.")
        if (dtype !in setOf("float32", "uint8", "int8")) throw Problem("$origin: the app does not know type $dtype.")
        if (colour !in setOf("RGB", "BGR")) throw Problem("$origin: the app does not know colour order $colour.")
        val range = (spec.fields["value_range"] as? Json.Array)?.items?.map { (it as? Json.Number)?.toDouble() }
        val low = range?.getOrNull(0)
        val high = range?.getOrNull(1)
        if (range?.size != 2 || low == null || high == null || low >= high) bad("$name.value_range")
        return TensorSpec(text(spec, "name"), size(spec, name, layout), dtype, layout, colour, low, high)
    }

    private fun size(spec: Json.Object, name: String, layout: String): Size {
        val items = (spec.fields["shape"] as? Json.Array)?.items ?: bad("$name.shape")
        if (items.any { it is Json.Text }) {
            throw Problem("$origin: the model takes any size; export it with --size, as phones need a fixed one.")
        }
        val shape = items.map { (it as? Json.Number)?.text?.toIntOrNull() ?: bad("$name.shape") }
        if (shape.size != 4 || shape[layout.indexOf('N')] != 1 || shape[layout.indexOf('C')] != 3) bad("$name.shape")
        val size = Size(shape[layout.indexOf('H')], shape[layout.indexOf('W')])
        // 4096: larger than any model that fits a phone, small enough that no size below overflows an Int.
        if (size.height !in 1..4096 || size.width !in 1..4096) bad("$name.shape")
        return size
    }

    private fun section(key: String) = body.fields[key] as? Json.Object ?: bad(key)

    private fun text(from: Json.Object, key: String) = (from.fields[key] as? Json.Text)?.value ?: bad(key)

    private fun long(key: String) = optionalLong(key) ?: bad(key)

    private fun optionalLong(key: String): Long? =
        when (val value = body.fields[key]) {
            is Json.Number -> value.text.toLongOrNull()?.takeIf { it >= 0 } ?: bad(key)
            is Json.Null -> null
            else -> bad(key)
        }

    private fun positive(key: String) = long(key).toInt().takeIf { it in 1..1024 } ?: bad(key)

    private fun bad(key: String): Nothing = throw Problem("$origin is not a manifest of this version (its $key).")
}
