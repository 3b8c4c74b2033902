package edgedeblur.demo.core

import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** A benchmark by a clock of its own, and the file that comes of it: `tests/golden/phone.json`, which Python reads. */
class PhoneResultTest {
    private val manifest = Manifest.parse(GoldenFiles.text("phone.tflite.json"), "phone.tflite.json")
    private val golden = GoldenFiles.file("parity.npz").inputStream().use { Golden.read(it, "parity.npz", Size(32, 64)) }
    private val actual = GoldenFiles.arrays("parity.npz").getValue("actual").floats()

    private var now = 0L
    private var runs = 0
    private var closed = 0
    private var states = 0

    /** Answers what the golden file calls `actual`, in 10, 11, 12, 13, 10, ... milliseconds. */
    private val engine =
        object : Engine {
            override val report = EngineReport("CPU (XNNPACK)", 4, "Ran on the CPU with XNNPACK, 4 threads. GPU not asked for.")

            override fun run(input: ByteBuffer, output: ByteBuffer) {
                assertEquals(toNetwork(golden.pixels[0] shr 16 and 255), input.getFloat(0), 0f)
                output.asFloatBuffer().put(actual)
                now += 10_000_000L + runs % 4 * 1_000_000L
                runs++
            }

            override fun close() {
                closed++
            }
        }

    private fun benchmark() =
        Benchmark(
            manifest, golden.pixels, golden,
            open = { engine.also { now += 250_000_000L } },
            clock = { now.also { now += 500L } },
            state = { DeviceState(states++, -450_000L - states * 1000, 80, false) },
        )

    @Test
    fun `times, parity and samples by hand`() {
        val result = benchmark().measure(BenchmarkPlan(warmup = 3, runs = 8, sustainedSeconds = 12), { false }, { _, _ -> })
        assertEquals(250.0, result.loadMs, 0.001)
        assertEquals(10.0, result.firstMs, 0.001)
        // Runs 4 to 11, after the first and three to warm up.
        assertEquals(listOf(10.0, 11.0, 12.0, 13.0, 10.0, 11.0, 12.0, 13.0), result.inferMs.map { Math.round(it * 100) / 100.0 })
        assertEquals(11.5, spread(result.inferMs).medianMs, 0.001)
        assertEquals(8, result.endToEndMs.size)
        for (i in 0 until 8) assertTrue(result.endToEndMs[i] >= result.preMs[i] + 10 + result.postMs[i])
        assertEquals(GoldenFiles.json("parity.json")["psnr_db"].number(), result.parity!!.psnrDb, 1e-6)
        // 12 seconds in samples of 5: 5, 10, 12.
        assertEquals(listOf(5, 10, 12), result.sustained.map { it.atS.toInt() })
        assertEquals(listOf(0, 1, 2), result.sustained.map { it.state.thermalStatus })
        assertEquals(1, closed)
    }

    @Test
    fun `the file is the stored one, to the letter`() {
        val plan = BenchmarkPlan(warmup = 3, runs = 8, sustainedSeconds = 12)
        val result = benchmark().measure(plan, { false }, { _, _ -> })
        val device = Device("Google", "Pixel 9", "Google Tensor G4", "arm64-v8a", 8, 12_000_000_000, "15", 35)
        val text = phoneResult(device, "1.0", "2.16.1", "2026-11-21", "phone.tflite", "golden picture", manifest, plan, result).pretty()
        val stored = GoldenFiles.file("phone.json")
        if (System.getProperty("demo.write").orEmpty().isNotEmpty()) stored.writeText(text)
        assertEquals(stored.readText(), text)
    }

    @Test
    fun `cancel closes the model`() {
        assertThrows(Cancelled::class.java) { benchmark().measure(BenchmarkPlan(), { runs == 6 }, { _, _ -> }) }
        assertEquals(6, runs)
        assertEquals(1, closed)
    }
}
