package edgedeblur.demo

import android.app.Activity
import android.content.ClipData
import android.content.Intent
import android.graphics.Color
import android.net.Uri
import android.widget.Button
import android.widget.ListView
import android.widget.Spinner
import android.widget.Switch
import android.widget.TextView
import edgedeblur.demo.core.EngineChoice
import edgedeblur.demo.core.Json
import edgedeblur.demo.core.get
import edgedeblur.demo.core.items
import edgedeblur.demo.core.number
import edgedeblur.demo.core.tfliteWith
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Models and benchmark screens with a fake interpreter. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class OtherScreensTest {
    private val engines = FakeEngines()

    private fun message(activity: Activity) = activity.findViewById<TextView>(R.id.message).text.toString()

    private fun models(): ModelsActivity = prepared(engines).let { Robolectric.buildActivity(ModelsActivity::class.java).setup().get() }.also { idle() }

    private fun add(activity: ModelsActivity, vararg files: Pair<String, ByteArray>) {
        activity.findViewById<Button>(R.id.add).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        val uris = files.map { (name, bytes) -> offer(bytes, name) }
        val data = Intent().apply { clipData = ClipData.newRawUri(null, uris.first()).apply { uris.drop(1).forEach { addItem(ClipData.Item(it)) } } }
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, data)
        idle()
    }

    @Test
    fun `a model and its manifest are added, whatever they are called, and deleted`() {
        val activity = models()
        assertTrue(message(activity), message(activity).startsWith("No model yet"))
        val model = tfliteWith("name" to "a")
        add(activity, "download (1).json" to manifestText(model).toByteArray(), "my model.tflite" to model)
        assertEquals("Added my_model.tflite.", message(activity))
        val list = activity.findViewById<ListView>(R.id.list)
        assertEquals(1, list.adapter.count)
        val row = list.adapter.getView(0, null, list)
        assertEquals("fp32 64x96 mobilenet_dsc", row.findViewById<TextView>(R.id.title).text)
        val details = row.findViewById<TextView>(R.id.details).text.toString()
        assertTrue(details, details.startsWith("my_model.tflite\nnorms frozen, 1.18 M parameters, 0.00 MiB\nat export: PSNR to PyTorch 52.50 dB"))
        row.findViewById<Button>(R.id.delete).performClick()
        idle()
        assertEquals(0, list.adapter.count)
        assertEquals(0, File(app.filesDir, "models").listFiles()!!.size)
    }

    @Test
    fun `a manifest inside the model is enough`() {
        val activity = models()
        add(activity, "m.tflite" to tfliteWith("edgedeblur.manifest" to manifestText(ByteArray(0))))
        assertEquals("Added m.tflite.", message(activity))
        assertEquals("fp32 64x96 mobilenet_dsc", app.session.state.models.single().title)
    }

    @Test
    fun `what is no model, or has no manifest, gets a sentence`() {
        val activity = models()
        val model = tfliteWith("name" to "a")
        val other = tfliteWith("name" to "b")
        val sentences =
            listOf(
                listOf("cat.jpg" to "hello".toByteArray()) to "cat.jpg is neither a TFLite model nor a manifest.",
                listOf("m.json" to manifestText(model).toByteArray()) to "m.json belongs to a model that is not here; open the .tflite together with it.",
                listOf("g.npz" to "PK..".toByteArray()) to "g.npz belongs to a model that is not here; open the .tflite together with it.",
                listOf("m.tflite" to model) to "m.tflite has no manifest; open it together with m.tflite.json, which deblur-export wrote beside it.",
                listOf("o.tflite" to other, "m.json" to manifestText(tfliteWith("name" to "c")).toByteArray()) to "m.json belongs to a model that is not here; open the .tflite together with it.",
                listOf("cut.tflite" to model.copyOf(60)) to "cut.tflite is damaged or cut short; copy it again.",
                listOf("empty.tflite" to ByteArray(0)) to "empty.tflite is neither a TFLite model nor a manifest.",
            )
        for ((files, sentence) in sentences) {
            add(activity, *files.toTypedArray())
            assertEquals(sentence, message(activity))
        }
    }

    @Test
    fun `threads and GPU are kept and reach the interpreter`() {
        addModel()
        val activity = models()
        activity.findViewById<Switch>(R.id.gpu).performClick()
        activity.findViewById<Spinner>(R.id.threads).setSelection(1)
        idle()
        assertEquals(EngineChoice(gpu = true, threads = 2), app.settings.choice)
        app.session.open(offer(encoded(plain(10, 10, Color.GRAY))))
        app.session.deblur()
        idle()
        assertEquals(EngineChoice(gpu = true, threads = 2), engines.choice)
    }

    @Test
    fun `benchmark measures, shows and shares`() {
        addModel()
        prepared(engines)
        app.session.open(offer(samplePhoto()))
        val controller = Robolectric.buildActivity(BenchmarkActivity::class.java).setup()
        val activity = controller.get()
        idle()
        assertFalse(activity.findViewById<Button>(R.id.share).isEnabled)
        activity.findViewById<Spinner>(R.id.runs).setSelection(0)
        activity.findViewById<Button>(R.id.measure).performClick()
        idle()
        // 1 first, 3 to warm up, 10 measured, 10 end to end.
        assertEquals(24, engines.runs)
        assertEquals(1, engines.closed)
        val lines = app.benchmark.state.lines
        assertEquals("fp32 64x96 mobilenet_dsc, own picture", lines[0])
        assertTrue(lines[2], Regex("Model: median [0-9.]+ ms \\[p5 [0-9.]+ ms, p95 [0-9.]+ ms], 10 runs after the first and 3 more").matches(lines[2]))
        assertEquals("Parity: not measured, the model has no golden tensor", lines[5])
        val json = Json.parse(app.benchmark.state.file!!.readText(), "result")
        assertEquals(10, json["infer_ms"].items().size)
        assertEquals(Json.Null, json["parity"])
        assertEquals(64.0, json["manifest"]["input"]["shape"].items()[1].number(), 0.0)
        activity.findViewById<Button>(R.id.share).performClick()
        @Suppress("DEPRECATION")
        val shared = shadowOf(activity).nextStartedActivity.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!
        assertEquals("application/json", shared.type)
        controller.recreate()
        idle()
        assertTrue(controller.get().findViewById<Button>(R.id.share).isEnabled)
    }

    @Test
    fun `benchmark can be cancelled, and says what is missing`() {
        val controller = prepared(engines).let { Robolectric.buildActivity(BenchmarkActivity::class.java).setup() }
        val measure = controller.get().findViewById<Button>(R.id.measure)
        measure.performClick()
        idle()
        assertTrue(message(controller.get()), message(controller.get()).startsWith("No model yet"))
        app.session.importModels(listOf(offer(tfliteWith("edgedeblur.manifest" to manifestText(ByteArray(0))), "m.tflite")))
        idle()
        measure.performClick()
        idle()
        assertTrue(message(controller.get()), message(controller.get()).startsWith("There is no picture to measure with"))
        app.session.open(offer(encoded(plain(10, 10, Color.GRAY))))
        idle()
        engines.onRun = { if (engines.runs == 5) app.benchmark.cancel() }
        measure.performClick()
        idle()
        assertEquals("Cancelled.", message(controller.get()))
        assertEquals(5, engines.runs)
        assertNull(app.benchmark.state.file)
    }

    @Test
    fun `a model shared to the app is added`() {
        prepared(engines)
        val model = tfliteWith("name" to "a")
        val uris = arrayListOf(offer(model, "m.tflite"), offer(manifestText(model).toByteArray(), "m.tflite.json"))
        val intent = Intent(Intent.ACTION_SEND_MULTIPLE).setType("application/octet-stream").putParcelableArrayListExtra(Intent.EXTRA_STREAM, uris as ArrayList<Uri>)
        val activity = Robolectric.buildActivity(MainActivity::class.java, intent).setup().get()
        idle()
        assertEquals("Added m.tflite.", message(activity))
    }
}
