package edgedeblur.demo

import android.app.Activity
import android.app.ActivityManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import edgedeblur.demo.core.Engine
import edgedeblur.demo.core.EngineChoice
import edgedeblur.demo.core.EngineFactory
import edgedeblur.demo.core.EngineReport
import edgedeblur.demo.core.Json
import edgedeblur.demo.core.Manifest
import edgedeblur.demo.core.canonical
import edgedeblur.demo.core.pretty
import edgedeblur.demo.core.sha256Hex
import edgedeblur.demo.core.tfliteWith
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.Executor
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf

/** Makes every picture brighter by a fifth of the way to white; counts its runs. */
class FakeEngines(private val gain: Float = 0.2f, private val says: String? = null) : EngineFactory {
    var opened = 0
    var closed = 0
    var runs = 0
    var choice: EngineChoice? = null

    /** Called at the start of every run, on the worker. */
    var onRun: () -> Unit = {}

    override fun open(file: File, manifest: Manifest, choice: EngineChoice): Engine {
        opened++
        this.choice = choice
        return object : Engine {
            override val report = EngineReport("CPU (XNNPACK)", choice.threads, says ?: "Ran on the CPU with XNNPACK, ${choice.threads} threads. GPU not asked for.")

            override fun run(input: ByteBuffer, output: ByteBuffer) {
                runs++
                onRun()
                // Files whose name tells so are darkened instead, so that two models differ.
                val to = if ("dark" in file.name) -1f else 1f
                while (input.hasRemaining()) input.float.let { output.putFloat(it + gain * (to - it)) }
            }

            override fun close() {
                closed++
            }
        }
    }
}

/** Tasks wait until a test says so. */
class Waiting : Executor {
    private val tasks = ArrayDeque<Runnable>()
    val count get() = tasks.size

    override fun execute(task: Runnable) {
        tasks.add(task)
    }

    fun runAll() {
        while (tasks.isNotEmpty()) tasks.removeFirst().run()
    }
}

val app get() = RuntimeEnvironment.getApplication() as DeblurApp

/** The app with a fake interpreter and work done at once, before any screen opened. */
fun prepared(engines: EngineFactory = FakeEngines(), worker: Executor = Executor { it.run() }): DeblurApp =
    app.apply {
        this.engines = engines
        this.worker = worker
        assetFolder = "none" // Whatever models a developer's app ships, tests bring their own.
        freeMemory(4L shl 30)
    }

/** Robolectric's phone has none unless told. */
fun freeMemory(bytes: Long) =
    shadowOf(app.getSystemService(ActivityManager::class.java)).setMemoryInfo(ActivityManager.MemoryInfo().apply { availMem = bytes })

/** A model without a graph and a manifest that fits it, as files of the app. */
fun addModel(name: String = "bright.tflite", height: Int = 64, width: Int = 96, target: String = "tflite-fp32", parity: String = "52.5") {
    val folder = File(app.filesDir, "models").apply { mkdirs() }
    val bytes = tfliteWith("name" to name)
    File(folder, name).writeBytes(bytes)
    File(folder, "$name.json").writeText(manifestText(bytes, height, width, target, parity))
}

fun manifestText(model: ByteArray, height: Int = 64, width: Int = 96, target: String = "tflite-fp32", parity: String = "52.5"): String {
    val border = """{"name":"image","shape":[1,$height,$width,3],"dtype":"float32","layout":"NHWC","colour":"RGB","value_range":[-1.0,1.0]}"""
    val text =
        """{"target":"$target","backbone":"mobilenet_dsc","checkpoint":{"sha256":"b2","source":"zoo:mobilenet_dsc"},"norm":"frozen",
        "input":$border,"output":$border,"size_multiple":32,"receptive_radius_px":283,"params":1175212,"macs":62645376,
        "macs_size":[$height,$width],"bytes":${model.size},"sha256":"${sha256Hex(model)}","tools":{},"parity":{"psnr_db":$parity},"schema_version":1}"""
    val body = Json.parse(text, "test") as Json.Object
    return Json.Object(body.fields + ("digest" to Json.Text(sha256Hex(body.canonical().toByteArray())))).pretty()
}

/** Let other apps hand over [bytes] under this address. */
fun offer(bytes: ByteArray, name: String = "photo.jpg"): Uri {
    val uri = Uri.parse("content://other.app/$name")
    shadowOf(app.contentResolver).registerInputStreamSupplier(uri) { ByteArrayInputStream(bytes) }
    return uri
}

/** A photograph of the repository's samples, as PNG. */
fun samplePhoto(name: String = "cat.png"): ByteArray = File(System.getProperty("demo.basedir"), "../benchmarks/samples/blurry/$name").readBytes()

fun encoded(bitmap: Bitmap, format: Bitmap.CompressFormat = Bitmap.CompressFormat.PNG): ByteArray =
    ByteArrayOutputStream().also { bitmap.compress(format, 100, it) }.toByteArray()

/** A picture of one colour. */
fun plain(width: Int, height: Int, colour: Int): Bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).apply { eraseColor(colour) }

fun idle() = shadowOf(Looper.getMainLooper()).idle()

fun decoded(file: File): Bitmap = BitmapFactory.decodeFile(file.path)

/** What the screen looks like. */
fun screenshot(activity: Activity): Bitmap {
    idle()
    val view: View = activity.window.decorView
    return Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
}
