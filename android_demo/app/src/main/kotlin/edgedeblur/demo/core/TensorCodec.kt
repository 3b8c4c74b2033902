package edgedeblur.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/*
 * Numbers between pictures and models. Every step rounds where the Python code's OpenCV does: it multiplies and adds
 * in one rounding to float32, and a double holds such a product and sum exactly enough to round once.
 */

private val PER_LEVEL = (1 / 127.5).toFloat().toDouble()

/** An 8-bit value to the network's float in [-1, 1]. */
fun toNetwork(value: Int): Float = (value * PER_LEVEL - 1.0).toFloat()

/** The network's float to 8 bits: rounded to nearest, ties to even, and clipped. */
fun toByte(value: Float): Int = Math.rint((value * 127.5 + 127.5).toFloat().toDouble()).toInt().coerceIn(0, 255)

/** A direct buffer that the interpreter reads or fills in place. */
fun directBuffer(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

/**
 * Fills and reads a model's buffers: type, layout, range and colour order are the manifest's.
 *
 * Pixels are packed ints, `0xAARRGGBB`; planes are float arrays of height * width * 3 in RGB order, in [-1, 1].
 */
class TensorCodec(private val spec: TensorSpec) {
    private val area = spec.size.height * spec.size.width
    private val step = if (spec.layout == "NHWC") 3 else 1
    private val channel = IntArray(3) { c ->
        val place = if (spec.colour == "RGB") c else 2 - c
        if (spec.layout == "NHWC") place else place * area
    }
    private val identity = spec.low == -1.0 && spec.high == 1.0
    private val scale = (spec.high - spec.low) / 2

    // Each 8-bit level as a value of the model's input.
    private val levels = FloatArray(256) { if (identity) toNetwork(it) else ((toNetwork(it) + 1.0) * scale + spec.low).toFloat() }

    /** @param pixels height * width packed ints, row by row. */
    fun encode(pixels: IntArray, into: ByteBuffer) {
        require(pixels.size >= area && into.capacity() == spec.bytes) { "buffers of another size" }
        for (c in 0..2) {
            val shift = 16 - 8 * c
            for (i in 0 until area) put(into, i * step + channel[c], levels[pixels[i] shr shift and 255])
        }
        into.rewind()
    }

    /** @param planes gets area * 3 floats, RGB one after the other for each pixel. */
    fun decode(from: ByteBuffer, planes: FloatArray) {
        require(planes.size >= area * 3 && from.capacity() == spec.bytes) { "buffers of another size" }
        for (c in 0..2) {
            for (i in 0 until area) planes[i * 3 + c] = get(from, i * step + channel[c])
        }
    }

    private fun put(into: ByteBuffer, place: Int, value: Float) {
        if (spec.dtype == "float32") into.putFloat(place * 4, value) else into.put(place, Math.rint(value.toDouble()).toInt().toByte())
    }

    private fun get(from: ByteBuffer, place: Int): Float {
        val raw =
            when (spec.dtype) {
                "float32" -> from.getFloat(place * 4)
                "uint8" -> (from.get(place).toInt() and 255).toFloat()
                else -> from.get(place).toFloat()
            }
        return if (identity) raw else ((raw - spec.low) / scale - 1.0).toFloat()
    }
}
