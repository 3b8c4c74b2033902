package edgedeblur.demo.core

import java.io.ByteArrayInputStream
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class NumbersTest {
    @Test
    fun `levels become Python's floats, to the bit`() {
        val floats = GoldenFiles.arrays("conversion.npz").getValue("floats").floats()
        assertArrayEquals(floats, FloatArray(256) { toNetwork(it) }, 0f)
    }

    @Test
    fun `floats become Python's levels, ties and outliers too`() {
        val arrays = GoldenFiles.arrays("conversion.npz")
        val values = arrays.getValue("values").floats()
        assertArrayEquals(arrays.getValue("levels").bytes(), IntArray(values.size) { toByte(values[it]) })
    }

    @Test
    fun `percentiles are Python's`() {
        for (case in GoldenFiles.json("statistics.json").items()) {
            val own = spread(case["ms"].items().map { it.number() })
            assertEquals(case["median"].number(), own.medianMs, 1e-9)
            assertEquals(case["p5"].number(), own.p5Ms, 1e-9)
            assertEquals(case["p95"].number(), own.p95Ms, 1e-9)
        }
        assertThrows(IllegalArgumentException::class.java) { spread(emptyList()) }
        assertThrows(IllegalArgumentException::class.java) { spread(listOf(1.0, Double.NaN)) }
    }

    @Test
    fun `parity is Python's`() {
        val arrays = GoldenFiles.arrays("parity.npz")
        val golden = GoldenFiles.file("parity.npz").inputStream().use { Golden.read(it, "parity.npz", Size(32, 64)) }
        val numbers = GoldenFiles.json("parity.json")
        val own = parity(arrays.getValue("actual").floats(), golden)
        assertEquals(numbers["psnr_db"].number(), own.psnrDb, 1e-6)
        assertEquals(numbers["max_abs"].number(), own.maxAbs, 1e-9)
        assertEquals(numbers["residual_snr_db"].number(), own.residualSnrDb, 1e-6)
        assertEquals(sha256Hex("a model".toByteArray()), golden.modelSha256)
        assertTrue(parity(golden.expected, golden).psnrDb.isInfinite())
        val broken = golden.expected.copyOf().also { it[5] = Float.NaN }
        assertThrows(IllegalArgumentException::class.java) { parity(broken, golden) }
    }

    @Test
    fun `a golden tensor that is none is refused with a sentence`() {
        val bytes = GoldenFiles.file("parity.npz").readBytes()
        val flipped = bytes.copyOf().also { it[60] = 0 }
        for (bad in listOf(ByteArray(0), "hello".toByteArray(), bytes.copyOf(5000), flipped)) {
            assertTrue(sentenceOf { Golden.read(ByteArrayInputStream(bad), "x", Size(32, 64)) }.startsWith("x is not the golden"))
        }
        assertTrue(sentenceOf { Golden.read(ByteArrayInputStream(bytes), "x", Size(64, 32)) }.startsWith("x is not the golden"))
    }

    @Test
    fun `milliseconds have one digit below a hundred`() {
        assertEquals("9.5 ms", milliseconds(9.46))
        assertEquals("123 ms", milliseconds(123.4))
    }
}
