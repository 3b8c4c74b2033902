package edgedeblur.demo.core

import java.io.File
import java.util.zip.ZipFile

/** The vectors in `tests/golden`, which the Python code made. */
object GoldenFiles {
    private val folder = File(System.getProperty("demo.basedir"), "../tests/golden")

    fun text(name: String) = File(folder, name).readText()

    fun json(name: String) = Json.parse(text(name), name)

    fun file(name: String) = File(folder, name)

    internal fun arrays(name: String): Map<String, Npy> =
        ZipFile(file(name)).use { zip ->
            zip.entries().asSequence().associate { it.name.removeSuffix(".npy") to Npy.read(zip.getInputStream(it)) }
        }
}

internal fun Npy.floats() = FloatArray(data.remaining() / 4).also { data.duplicate().order(data.order()).asFloatBuffer().get(it) }

internal fun Npy.bytes() = IntArray(data.remaining()) { data.get(it).toInt() and 255 }

/** Rows of RGB bytes as packed ints. */
internal fun Npy.pixels(): IntArray = bytes().let { b -> IntArray(b.size / 3) { (255 shl 24) or (b[it * 3] shl 16) or (b[it * 3 + 1] shl 8) or b[it * 3 + 2] } }

operator fun Json.get(key: String): Json = (this as Json.Object).fields.getValue(key)

fun Json.items() = (this as Json.Array).items

fun Json.number() = (this as Json.Number).toDouble()

fun Json.ints() = items().map { it.number().toInt() }

fun Json.size() = ints().let { (height, width) -> Size(height, width) }

/** Run [block] and return the sentence that it failed with. */
fun sentenceOf(block: () -> Unit): String {
    try {
        block()
    } catch (problem: Problem) {
        return problem.sentence
    }
    throw AssertionError("nothing was refused")
}

/** A manifest for tests: fp32 NHWC in [-1, 1] unless told otherwise. */
fun testManifest(
    size: Size = Size(64, 96),
    dtype: String = "float32",
    layout: String = "NHWC",
    colour: String = "RGB",
    low: Double = -1.0,
    high: Double = 1.0,
    radius: Int? = null,
): Manifest {
    val spec = TensorSpec("image", size, dtype, layout, colour, low, high)
    return Manifest(
        "tflite-fp32", "mobilenet_dsc", "frozen", "ab", spec, spec, 32, radius, 1, null, 0, "", null, Json.Object(emptyMap()),
    )
}
