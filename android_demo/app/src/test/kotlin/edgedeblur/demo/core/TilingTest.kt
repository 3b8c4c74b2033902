package edgedeblur.demo.core

import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class TilingTest {
    private val cases = GoldenFiles.arrays("tiling.npz").let { arrays -> arrays to arrays.keys.count { it.startsWith("case") } }

    @Test
    fun `plans are Python's`() {
        val plans = GoldenFiles.json("plans.json").items()
        assertEquals(13, plans.size)
        for (plan in plans) {
            val expected = TilePlan(plan["padded"].size(), plan["tile"].size(), plan["rows"].ints(), plan["columns"].ints())
            assertEquals(expected, planTiles(plan["picture"].size(), plan["tile"].size(), plan["multiple"].number().toInt()))
        }
    }

    @Test
    fun `weights are Python's to the bit and sum to one`() {
        val weights = GoldenFiles.arrays("weights.npz")
        val (arrays, count) = cases
        for (number in 0 until count) {
            val (height, width, radius) = arrays.getValue("case$number").floats().map { it.toInt() }
            val after = arrays.getValue("after$number").shape
            val plan = planTiles(Size(after[0], after[1]), Size(height, width), 32)
            for ((axis, origins, tile) in listOf(Triple("rows", plan.rows, height), Triple("columns", plan.columns, width))) {
                val own = axisWeights(origins, tile, radius.takeIf { it >= 0 })
                val all = own.fold(FloatArray(0)) { joined, part -> joined + part }
                assertArrayEquals("$axis$number", weights.getValue("$axis$number").floats(), all, 0f)
                for (place in 0 until origins.last() + tile) {
                    val sum = origins.indices.sumOf { i -> own[i].getOrElse(place - origins[i]) { 0f }.toDouble() }
                    assertEquals(1.0, sum, 0.0)
                }
            }
        }
    }

    @Test
    fun `pictures of any size come out as Python's, bit for bit`() {
        val (arrays, count) = cases
        assertEquals(8, count)
        for (number in 0 until count) {
            val (height, width, radius) = arrays.getValue("case$number").floats().map { it.toInt() }
            val manifest = testManifest(Size(height, width), radius = radius.takeIf { it >= 0 })
            val after = arrays.getValue("after$number")
            val before = crop(arrays.getValue("picture"), after.shape[0], after.shape[1])
            val canvas = Canvas(before.size)
            Tiler(manifest, fakeNetwork(manifest.input)).deblur(before, canvas)
            assertArrayEquals("case $number", after.pixels(), canvas.pixels)
        }
    }

    @Test
    fun `layout, type, range and colour order are the manifest's`() {
        val (arrays, _) = cases
        val after = arrays.getValue("after4")
        val before = crop(arrays.getValue("picture"), after.shape[0], after.shape[1])
        for (manifest in listOf(
            testManifest(radius = 8, layout = "NCHW"),
            testManifest(radius = 8, colour = "BGR"),
            testManifest(radius = 8, low = 0.0, high = 1.0),
            testManifest(radius = 8, low = 0.0, high = 255.0),
        )) {
            val canvas = Canvas(before.size)
            Tiler(manifest, fakeNetwork(manifest.input)).deblur(before, canvas)
            val off = canvas.pixels.indices.count { canvas.pixels[it] != after.pixels()[it] }
            // Another range rounds once more, which may tip a value that lies between two levels.
            assertEquals(manifest.input.toString(), 0.0, off.toDouble() / canvas.pixels.size, 0.001)
        }
    }

    @Test
    fun `8-bit borders give back every level`() {
        for ((dtype, low, high) in listOf(Triple("uint8", 0.0, 255.0), Triple("int8", -128.0, 127.0))) {
            val manifest = testManifest(Size(32, 32), dtype = dtype, low = low, high = high)
            val source = Pixels(Size(32, 32), IntArray(1024) { (255 shl 24) or ((it and 255) * 0x010101) })
            val canvas = Canvas(source.size)
            Tiler(manifest, { from, to -> to.put(from) }).deblur(source, canvas)
            assertArrayEquals(source.pixels, canvas.pixels)
        }
    }

    @Test
    fun `reflection does not repeat the edge`() {
        assertEquals(listOf(0, 1, 2, 3, 2, 1, 0, 1, 2), (0..8).map { reflect(it, 4) })
        assertEquals(listOf(0, 0, 0), (0..2).map { reflect(it, 1) })
    }

    @Test
    fun `progress counts tiles, and cancel stops before the next one`() {
        val source = Pixels(Size(100, 100), IntArray(10_000))
        val told = ArrayList<Pair<Int, Int>>()
        val tiler = Tiler(testManifest(Size(64, 64)), { from, to -> to.put(from) })
        tiler.deblur(source, Canvas(source.size)) { done, all -> told.add(done to all) }
        assertEquals((1..9).map { it to 9 }, told)
        told.clear()
        assertThrows(Cancelled::class.java) {
            tiler.deblur(source, Canvas(source.size), { told.size == 2 }) { done, all -> told.add(done to all) }
        }
        assertEquals(listOf(1 to 9, 2 to 9), told)
        tiler.deblur(source, Canvas(source.size)) // and works again
    }

    @Test
    fun `a model that gives no picture is refused`() {
        for (bad in listOf(Float.NaN, 3f)) {
            val tiler = Tiler(testManifest(), { _, to -> to.putFloat(400, bad) })
            val sentence = sentenceOf { tiler.deblur(Pixels(Size(9, 9), IntArray(81)), Canvas(Size(9, 9))) }
            assertEquals("The model's output is outside the picture range; use another file or accelerator.", sentence)
        }
    }

    private fun crop(picture: Npy, height: Int, width: Int): Pixels {
        val all = picture.pixels()
        return Pixels(Size(height, width), IntArray(height * width) { all[it / width * picture.shape[1] + it % width] })
    }

    /** `fake_network` of make_golden.py, through the model's own border. */
    private fun fakeNetwork(spec: TensorSpec) = Infer { from: ByteBuffer, to: ByteBuffer ->
        val scale = (spec.high - spec.low) / 2
        for (y in 0 until spec.size.height) for (x in 0 until spec.size.width) for (c in 0..2) {
            val place = if (spec.colour == "RGB") c else 2 - c
            val at = 4 * when (spec.layout) {
                "NHWC" -> (y * spec.size.width + x) * 3 + place
                else -> (place * spec.size.height + y) * spec.size.width + x
            }
            val value = if (scale == 1.0) from.getFloat(at) else ((from.getFloat(at) - spec.low) / scale - 1).toFloat()
            val given = value * 0.5f + ((7 * y + 13 * x + 5 * c) % 31 - 15) / 64f
            to.putFloat(at, if (scale == 1.0) given else ((given + 1) * scale + spec.low).toFloat())
        }
    }
}

class Pixels(override val size: Size, val pixels: IntArray) : PixelSource {
    override fun read(top: Int, count: Int, rows: IntArray) {
        pixels.copyInto(rows, 0, top * size.width, (top + count) * size.width)
    }
}

class Canvas(private val size: Size) : PixelSink {
    val pixels = IntArray(size.height * size.width)

    override fun write(top: Int, count: Int, rows: IntArray) {
        rows.copyInto(pixels, top * size.width, 0, count * size.width)
    }
}
