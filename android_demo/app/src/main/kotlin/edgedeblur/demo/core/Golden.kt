package edgedeblur.demo.core

import java.io.EOFException
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipInputStream
import kotlin.math.abs
import kotlin.math.log10

/** Larger than any golden tensor of a model whose sides are at most 2048. */
private const val MAX_BYTES = 64 shl 20

/**
 * What PyTorch makes of one picture, shipped beside a model as `model.tflite.golden.npz`.
 *
 * @property pixels height * width packed ints, the input picture.
 * @property expected height * width * 3 floats, RGB in [-1, 1]: PyTorch's output in fp32.
 * @property modelSha256 of the model that it was made for.
 */
class Golden(val size: Size, val pixels: IntArray, val expected: FloatArray, val modelSha256: String) {
    companion object {
        /** @throws Problem not such a file, or of another size than [size]. */
        fun read(stream: InputStream, name: String, size: Size): Golden {
            val arrays = HashMap<String, Npy>()
            try {
                val zip = ZipInputStream(stream)
                generateSequence { zip.nextEntry }.take(8).forEach { arrays[it.name] = Npy.read(zip) }
            } catch (error: IOException) {
                throw damaged(name, error)
            } catch (error: IllegalArgumentException) {
                throw damaged(name, error)
            }
            val shape = listOf(size.height, size.width, 3)
            val image = arrays["image.npy"]?.takeIf { it.type == "|u1" && it.shape == shape }
            val output = arrays["output.npy"]?.takeIf { it.type == "<f4" && it.shape == shape }
            val hash = arrays["model_sha256.npy"]?.takeIf { it.type == "|u1" && it.shape == listOf(32) }
            if (image == null || output == null || hash == null) throw damaged(name, null)
            val floats = FloatArray(output.data.remaining() / 4).also { output.data.asFloatBuffer().get(it) }
            return Golden(size, packed(image.data), floats, hex(ByteArray(32) { hash.data.get(it) }))
        }

        private fun damaged(name: String, cause: Exception?) =
            Problem("$name is not the golden tensor of this model; export the model again with --android.", cause)

        private fun packed(rgb: ByteBuffer) =
            IntArray(rgb.remaining() / 3) { i ->
                val (r, g, b) = List(3) { rgb.get(i * 3 + it).toInt() and 255 }
                (255 shl 24) or (r shl 16) or (g shl 8) or b
            }
    }
}

/** One array of NumPy's `.npy` format, version 1, C order. */
internal class Npy(val type: String, val shape: List<Int>, val data: ByteBuffer) {
    companion object {
        private val DESCR = Regex("'descr': '([^']+)'")
        private val SHAPE = Regex("'shape': \\(([0-9, ]*)\\)")

        fun read(stream: InputStream): Npy {
            val head = bytes(stream, 10)
            require(String(head, 1, 5, Charsets.ISO_8859_1) == "NUMPY" && head[6].toInt() == 1) { "no .npy of version 1" }
            val text = String(bytes(stream, (head[8].toInt() and 255) or (head[9].toInt() and 255 shl 8)), Charsets.ISO_8859_1)
            val type = requireNotNull(DESCR.find(text)).groupValues[1]
            require("'fortran_order': False" in text && type in setOf("|u1", "<f4")) { "an array of another kind" }
            val shape = requireNotNull(SHAPE.find(text)).groupValues[1].split(',').filter(String::isNotBlank).map { it.trim().toInt() }
            val count = shape.fold(1L) { product, side -> Math.multiplyExact(product, side.toLong()) } * (if (type == "<f4") 4 else 1)
            require(count in 1..MAX_BYTES) { "an array of $count bytes" }
            return Npy(type, shape, ByteBuffer.wrap(bytes(stream, count.toInt())).order(ByteOrder.LITTLE_ENDIAN))
        }

        private fun bytes(stream: InputStream, count: Int): ByteArray {
            val result = ByteArray(count)
            var at = 0
            while (at < count) {
                val read = stream.read(result, at, count - at)
                if (read < 0) throw EOFException("$at of $count bytes")
                at += read
            }
            return result
        }
    }
}

/**
 * A model's output against PyTorch's; see `runtimes/compare.py`.
 *
 * @property psnrDb of the two pictures rounded to 8 bits, data range 255; infinite if they are equal.
 * @property maxAbs largest difference of the floats in [-1, 1].
 * @property residualSnrDb PyTorch's (output - input) over the difference; infinite if there is none.
 */
data class Parity(val psnrDb: Double, val maxAbs: Double, val residualSnrDb: Double)

/** @param actual height * width * 3 floats, RGB in [-1, 1]. */
fun parity(actual: FloatArray, golden: Golden): Parity {
    require(actual.size == golden.expected.size && actual.all { it.isFinite() }) { "not an answer for this picture" }
    var squares = 0L
    var largest = 0.0
    var signal = 0.0
    var noise = 0.0
    for (i in actual.indices) {
        val byte = golden.pixels[i / 3] shr (16 - 8 * (i % 3)) and 255
        val step = (toByte(actual[i]) - toByte(golden.expected[i])).toLong()
        val difference = actual[i].toDouble() - golden.expected[i]
        val residual = golden.expected[i].toDouble() - toNetwork(byte)
        squares += step * step
        largest = maxOf(largest, abs(difference))
        signal += residual * residual
        noise += difference * difference
    }
    require(signal > 0) { "the reference changed nothing" }
    val psnr = if (squares == 0L) Double.POSITIVE_INFINITY else 10 * log10(255.0 * 255.0 * actual.size / squares)
    return Parity(psnr, largest, if (noise == 0.0) Double.POSITIVE_INFINITY else 10 * log10(signal / noise))
}
