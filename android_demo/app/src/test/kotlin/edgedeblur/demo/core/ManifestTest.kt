package edgedeblur.demo.core

import java.nio.ByteBuffer
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ManifestTest {
    private val text = GoldenFiles.text("model.tflite.json")

    @Test
    fun `a manifest of the Python code reads, and its digest holds`() {
        val manifest = Manifest.parse(text, "m")
        assertEquals("tflite-int8", manifest.target)
        assertEquals(TensorSpec("image", Size(64, 96), "uint8", "NHWC", "RGB", 0.0, 255.0), manifest.input)
        assertEquals("deblurred", manifest.output.name)
        assertEquals(283, manifest.receptiveRadius)
        assertEquals(62645376L, manifest.macs)
        assertEquals(50.25, manifest.parityPsnrDb!!, 0.0)
        assertEquals("mobilenet_dsc, tflite-int8, 64x96, norms frozen", manifest.title)
        manifest.checkFile("m", 7, sha256Hex("a model".toByteArray()))
    }

    @Test
    fun `an edit is noticed, however small`() {
        assertEquals("m was altered after export (its digest does not match); export the model again.", sentenceOf { Manifest.parse(text.replace("50.25", "51.25"), "m") })
        assertTrue(sentenceOf { Manifest.parse(text.replace("1e-07", "1e-7"), "m") }.contains("altered"))
    }

    @Test
    fun `another file is noticed`() {
        val sentence = sentenceOf { Manifest.parse(text, "m").checkFile("model.tflite", 7, "00") }
        assertEquals("model.tflite is not the file that its manifest describes; export it again and copy both files.", sentence)
    }

    @Test
    fun `what is no manifest, or one the app cannot run, gets a sentence`() {
        val sentences =
            listOf("", "[]", "nonsense", "{\"schema_version\": 2}", "{\"a\": 1, \"a\": 2}", "[".repeat(10_000)).map { bad ->
                sentenceOf { Manifest.parse(bad, "m") }
            }
        assertEquals("m is not JSON (character 0: it ends too soon).", sentences[0])
        assertEquals("m is not a manifest.", sentences[1])
        assertEquals("m is a manifest of another version of edgedeblur; export the model again.", sentences[3])
        assertTrue(sentences[5].contains("nested deeper"))
        val free = resigned { it.replace("64,\n      96,", "\"height\",\n      \"width\",") }
        assertTrue(sentenceOf { Manifest.parse(free, "m") }, sentenceOf { Manifest.parse(free, "m") }.contains("--size"))
        for ((from, to, word) in listOf(
            Triple("\"uint8\"", "\"float16\"", "type float16"),
            Triple("\"NHWC\"", "\"CHWN\"", "layout CHWN"),
            Triple("\"RGB\"", "\"YUV\"", "colour order YUV"),
            Triple("255.0", "0.0", "input.value_range"),
            Triple("      96,", "      99999,", "input.shape"),
            Triple("\"norm\"", "\"morn\"", "its norm"),
        )) {
            val sentence = sentenceOf { Manifest.parse(resigned { it.replace(from, to) }, "m") }
            assertTrue(sentence, sentence.contains(word))
        }
    }

    @Test
    fun `canonical text is Python's for every kind of value`() {
        val json = Json.parse("""{"b":[1,2.50,-1e+16,1E-7,true,null,{}],"a":"\u00e9\ud83d\ude00\"\\\n\u007f"}""", "j")
        assertEquals("""{"a":"\u00e9\ud83d\ude00\"\\\n\u007f","b":[1,2.50,-1e+16,1E-7,true,null,{}]}""", json.canonical())
        assertEquals(json, Json.parse(json.pretty(), "j"))
        for (bad in listOf("01", "1.", "+1", "\"\t\"", "{\"a\":1,}", "[1,]", "nul", "1 2", "\"\\u12g4\"", "\"")) {
            assertTrue(bad, sentenceOf { Json.parse(bad, "j") }.startsWith("j is not JSON"))
        }
    }

    @Test
    fun `a model's metadata is found, and damage is told`() {
        val file = tfliteWith(EMBED_KEY to "{}", "other" to "x")
        assertEquals("{}", embeddedText(ByteBuffer.wrap(file), "m"))
        assertEquals("x", embeddedText(ByteBuffer.wrap(file), "m", "other"))
        assertNull(embeddedText(ByteBuffer.wrap(file), "m", "nothing"))
        assertNull(embeddedText(ByteBuffer.wrap(tfliteWith()), "m"))
        for (bad in listOf(ByteArray(0), ByteArray(100), "TFL3".toByteArray(), "PK..TFLx....".toByteArray())) {
            assertTrue(sentenceOf { embeddedText(ByteBuffer.wrap(bad), "m") }.startsWith("m is not a TFLite model"))
        }
        // Cut anywhere, or with any byte turned, it answers or is refused: never another exception.
        for (length in 8 until file.size) runCatching { embeddedText(ByteBuffer.wrap(file.copyOf(length)), "m") }.onFailure { assertTrue(it is Problem) }
        for (place in 0 until file.size) {
            val turned = file.copyOf().also { it[place] = (it[place].toInt() xor 255).toByte() }
            runCatching { embeddedText(ByteBuffer.wrap(turned), "m") }.onFailure { assertTrue("$place $it", it is Problem) }
        }
    }

    /** The manifest's text after [edit], with a digest that fits, as an exporter of such a model would sign it. */
    private fun resigned(edit: (String) -> String): String {
        val body = (Json.parse(edit(text), "m") as Json.Object).fields - "digest"
        return Json.Object(body + ("digest" to Json.Text(sha256Hex(Json.Object(body).canonical().toByteArray())))).pretty()
    }
}
