package edgedeblur.demo.core

import java.nio.ByteBuffer

/** Where pixels come from: packed ints `0xAARRGGBB`, a few rows at a time, so that no second whole picture is held. */
interface PixelSource {
    val size: Size

    /** Copy [count] whole rows from [top] on into [rows]. */
    fun read(top: Int, count: Int, rows: IntArray)
}

/** Where pixels go, from top to bottom. */
fun interface PixelSink {
    fun write(top: Int, count: Int, rows: IntArray)
}

/** Runs the model once: reads the first buffer, fills the second. */
fun interface Infer {
    fun run(input: ByteBuffer, output: ByteBuffer)
}

/** Asked between tiles; true ends the work with [Cancelled]. */
fun interface Cancel {
    fun asked(): Boolean
}

class Cancelled : Exception("cancelled")

/**
 * Pictures of any size through a model of one size: reflect, tile, blend, crop; `deblur_picture` of the Python code.
 * Buffers are kept for the next picture of the same width. Not for several threads at once.
 */
class Tiler(private val manifest: Manifest, private val infer: Infer) {
    private val tile = manifest.input.size
    private val encoder = TensorCodec(manifest.input)
    private val decoder = TensorCodec(manifest.output)
    private val input = directBuffer(manifest.input.bytes)
    private val output = directBuffer(manifest.output.bytes)
    private val pixels = IntArray(tile.height * tile.width)
    private val planes = FloatArray(tile.height * tile.width * 3)

    // Weighted sums of the rows that the current row of tiles covers: height of a tile, padded width, RGB.
    private var band = FloatArray(0)
    private var rows = IntArray(0)

    /**
     * @param progress called with (tiles done, tiles in all) after each tile.
     * @throws Cancelled if [cancel] said so; the sink may then hold the upper part.
     * @throws Problem the model gave something that is not a picture.
     */
    fun deblur(source: PixelSource, sink: PixelSink, cancel: Cancel = Cancel { false }, progress: (Int, Int) -> Unit = { _, _ -> }) {
        val plan = planTiles(source.size, tile, manifest.sizeMultiple)
        val rowWeights = axisWeights(plan.rows, tile.height, manifest.receptiveRadius)
        val columnWeights = axisWeights(plan.columns, tile.width, manifest.receptiveRadius)
        prepare(plan, source.size)
        var done = 0
        plan.rows.forEachIndexed { i, top ->
            plan.columns.forEachIndexed { j, left ->
                if (cancel.asked()) throw Cancelled()
                fill(source, top, left, firstOfRow = j == 0)
                encoder.encode(pixels, input)
                infer.run(input.apply { rewind() }, output.apply { rewind() })
                decoder.decode(output, planes)
                checkRange()
                add(rowWeights[i], columnWeights[j], left, plan.padded.width)
                done++
                progress(done, plan.count)
            }
            finish(plan, i, source.size, sink)
        }
    }

    private fun prepare(plan: TilePlan, picture: Size) {
        val wanted = tile.height * plan.padded.width * 3
        if (band.size == wanted) band.fill(0f) else band = FloatArray(wanted)
        if (rows.size != tile.height * picture.width) rows = IntArray(tile.height * picture.width)
    }

    private fun fill(source: PixelSource, top: Int, left: Int, firstOfRow: Boolean) {
        val picture = source.size
        // Below the picture's end only mirrored rows follow; they lie within the tile's height above it, or, where the
        // picture is lower than a tile, anywhere in it.
        val first = maxOf(0, minOf(top, picture.height - tile.height))
        if (firstOfRow) source.read(first, minOf(tile.height, picture.height - first), rows)
        for (y in 0 until tile.height) {
            val row = (reflect(top + y, picture.height) - first) * picture.width
            val to = y * tile.width
            for (x in 0 until tile.width) pixels[to + x] = rows[row + reflect(left + x, picture.width)]
        }
    }

    private fun checkRange() {
        // NaN compares false, so this refuses it too. 1.01: an 8-bit output rounds by up to 1/255.
        if (!planes.all { it >= -1.01f && it <= 1.01f }) {
            throw Problem("The model's output is outside the picture range; use another file or accelerator.")
        }
    }

    private fun add(rowWeights: FloatArray, columnWeights: FloatArray, left: Int, width: Int) {
        for (y in 0 until tile.height) {
            var to = (y * width + left) * 3
            var from = y * tile.width * 3
            for (x in 0 until tile.width) {
                val weight = (rowWeights[y] * columnWeights[x]).toDouble()
                repeat(3) {
                    band[to] = (band[to] + planes[from] * weight).toFloat()
                    to++
                    from++
                }
            }
        }
    }

    /** No later tile reaches above its own top, so everything up to the next top is final. */
    private fun finish(plan: TilePlan, i: Int, picture: Size, sink: PixelSink) {
        val top = plan.rows[i]
        val last = i + 1 == plan.rows.size
        val finished = if (last) tile.height else plan.rows[i + 1] - top
        val count = minOf(finished, picture.height - top)
        val line = plan.padded.width * 3
        if (count > 0) {
            val out = IntArray(count * picture.width)
            for (y in 0 until count) {
                for (x in 0 until picture.width) {
                    val at = y * line + x * 3
                    val rgb = toByte(band[at]) shl 16 or (toByte(band[at + 1]) shl 8) or toByte(band[at + 2])
                    out[y * picture.width + x] = OPAQUE or rgb
                }
            }
            sink.write(top, count, out)
        }
        if (!last) {
            band.copyInto(band, 0, finished * line)
            band.fill(0f, (tile.height - finished) * line)
        }
    }

    private companion object {
        const val OPAQUE = 255 shl 24
    }
}
