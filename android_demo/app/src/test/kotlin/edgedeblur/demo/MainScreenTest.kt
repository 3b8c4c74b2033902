package edgedeblur.demo

import android.app.Activity
import android.content.ContentProvider
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Color
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.widget.Button
import android.widget.TextView
import edgedeblur.demo.core.Problem
import java.io.File
import java.io.FileNotFoundException
import java.util.concurrent.Executor
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.util.ReflectionHelpers

/** The main screen with a fake interpreter: what a person does, and what goes wrong. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class MainScreenTest {
    private val engines = FakeEngines()

    @After
    fun thisAndroidAgain() = ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", 35)

    private fun start(intent: Intent? = null, worker: Executor = Executor { it.run() }, models: () -> Unit = { addModel() }): ActivityController<MainActivity> {
        models()
        prepared(engines, worker)
        return Robolectric.buildActivity(MainActivity::class.java, intent).setup().also { idle() }
    }

    private fun button(activity: Activity, id: Int): Button = activity.findViewById(id)

    private fun press(activity: Activity, id: Int) {
        assertTrue("the button is off", button(activity, id).isEnabled)
        button(activity, id).performClick()
        idle()
    }

    private fun message(activity: Activity) = activity.findViewById<TextView>(R.id.message).text.toString()

    private fun pick(activity: Activity, uri: Uri) {
        press(activity, R.id.photo)
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(MediaStore.ACTION_PICK_IMAGES, asked.intent.action)
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        idle()
    }

    private fun grey(width: Int = 200, height: Int = 150) = encoded(plain(width, height, Color.rgb(100, 100, 100)))

    @Test
    fun `nothing chosen yet`() {
        val activity = start().get()
        assertFalse(button(activity, R.id.deblur).isEnabled)
        assertFalse(button(activity, R.id.save).isEnabled)
        assertEquals("", message(activity))
    }

    @Test
    fun `pick, deblur, save, share`() {
        val activity = start().get()
        pick(activity, offer(grey()))
        press(activity, R.id.deblur)
        val outcome = app.session.state.outcomes.single()
        // 100 is -0.2157 to the network; a fifth of the way to 1 is 0.0275: 131 of 255.
        assertEquals(Color.rgb(131, 131, 131), outcome.bitmap.getPixel(199, 149))
        assertEquals(200 to 150, outcome.bitmap.width to outcome.bitmap.height)
        assertTrue(message(activity), Regex("fp32 64x96 mobilenet_dsc: [0-9.]+ ms\\. Ran on the CPU with XNNPACK, . threads\\. GPU not asked for\\.").matches(message(activity)))
        press(activity, R.id.deblur)
        assertEquals("the model stays open", 1, engines.opened)
        press(activity, R.id.share)
        val shared = shadowOf(activity).nextStartedActivity.let { @Suppress("DEPRECATION") it.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!! }
        assertEquals("image/jpeg", shared.type)
        @Suppress("DEPRECATION")
        val lent = decoded(File(FilesProvider.folder(app), shared.getParcelableExtra<Uri>(Intent.EXTRA_STREAM)!!.lastPathSegment!!))
        assertEquals(131.0, Color.red(lent.getPixel(50, 50)).toDouble(), 2.0)
        press(activity, R.id.save)
        assertTrue(message(activity), message(activity).startsWith("Saved to the gallery") || message(activity).startsWith("The gallery") || message(activity).startsWith("The picture could not be saved"))
    }

    @Test
    fun `a picture smaller than a tile and one of a single pixel`() {
        val activity = start().get()
        for ((width, height) in listOf(1 to 1, 5 to 300, 97 to 64)) {
            pick(activity, offer(grey(width, height), "p$width.png"))
            press(activity, R.id.deblur)
            val bitmap = app.session.state.outcomes.single().bitmap
            assertEquals(width to height, bitmap.width to bitmap.height)
            assertEquals(Color.rgb(131, 131, 131), bitmap.getPixel(width - 1, height - 1))
        }
    }

    @Test
    fun `two models side by side`() {
        val activity = start(models = { addModel(); addModel("dark.tflite") }).get()
        app.settings.model = "bright.tflite"
        app.settings.other = "dark.tflite"
        pick(activity, offer(grey()))
        press(activity, R.id.deblur)
        val (bright, dark) = app.session.state.outcomes
        assertEquals(Color.rgb(131, 131, 131), bright.bitmap.getPixel(3, 3))
        assertEquals(Color.rgb(80, 80, 80), dark.bitmap.getPixel(3, 3))
        // Left of the slider the other model, right of it the chosen one.
        val screen = screenshot(activity)
        val view = activity.findViewById<BeforeAfterView>(R.id.pictures)
        val place = IntArray(2).also(view::getLocationInWindow)
        val half = (100 * minOf(view.width / 200f, view.height / 150f)).toInt()
        val (x, y) = place[0] + view.width / 2 to place[1] + view.height / 2
        assertEquals(Color.rgb(80, 80, 80), screen.getPixel(x - half * 9 / 10, y))
        assertEquals(Color.rgb(131, 131, 131), screen.getPixel(x + half * 9 / 10, y))
    }

    @Test
    fun `cancel stops between tiles and keeps the picture`() {
        val waiting = Waiting()
        val activity = start(worker = waiting).get()
        waiting.runAll()
        idle()
        val uri = offer(grey(400, 400))
        app.session.open(uri)
        waiting.runAll()
        idle()
        press(activity, R.id.deblur)
        assertEquals("Cancel", button(activity, R.id.deblur).text)
        assertFalse(button(activity, R.id.photo).isEnabled)
        engines.onRun = { if (engines.runs == 2) app.session.cancel() }
        waiting.runAll()
        idle()
        assertEquals(2, engines.runs)
        assertEquals("Cancelled.", message(activity))
        assertNotNull(app.session.state.picture)
        assertEquals("Deblur", button(activity, R.id.deblur).text)
        engines.onRun = {}
        press(activity, R.id.deblur)
        waiting.runAll()
        idle()
        assertEquals(1, app.session.state.outcomes.size)
    }

    @Test
    fun `rotation keeps picture, result, slider and zoom`() {
        val controller = start()
        pick(controller.get(), offer(grey()))
        press(controller.get(), R.id.deblur)
        val view = controller.get().findViewById<BeforeAfterView>(R.id.pictures)
        view.slideTo(view.width * 0.25f)
        val slider = view.slider
        controller.recreate()
        idle()
        val after = controller.get().findViewById<BeforeAfterView>(R.id.pictures)
        assertEquals(slider, after.slider, 0f)
        assertEquals(1, app.session.state.outcomes.size)
        assertEquals(1, engines.opened)
        assertTrue(button(controller.get(), R.id.save).isEnabled)
    }

    @Test
    fun `rotation while it runs does not lose the run`() {
        val waiting = Waiting()
        val controller = start(worker = waiting)
        app.session.open(offer(grey()))
        waiting.runAll()
        idle()
        press(controller.get(), R.id.deblur)
        controller.recreate()
        assertEquals("Cancel", button(controller.get(), R.id.deblur).text)
        waiting.runAll()
        idle()
        assertEquals("Deblur", button(controller.get(), R.id.deblur).text)
        assertTrue(button(controller.get(), R.id.save).isEnabled)
    }

    @Test
    fun `after process death picture and result are there again`() {
        val activity = start().get()
        pick(activity, offer(grey()))
        press(activity, R.id.deblur)
        val before = app.session.state
        val reborn = Session(app, app.models, app.settings, { it.run() }, { it() }, { engines })
        assertEquals(before.outcomes.single().title, reborn.state.outcomes.single().title)
        assertEquals(before.outcomes.single().ms, reborn.state.outcomes.single().ms, 0.0)
        assertEquals(Color.rgb(131, 131, 131), reborn.state.outcomes.single().bitmap.getPixel(7, 7))
        assertEquals(Color.rgb(100, 100, 100), reborn.state.picture!!.getPixel(7, 7))
        File(app.filesDir, "session/outcome0.png").delete()
        val half = Session(app, app.models, app.settings, { it.run() }, { it() }, { engines })
        assertEquals(0, half.state.outcomes.size)
        assertNotNull(half.state.picture)
    }

    @Test
    fun `a picture shared by another app is opened once, not again after rotation`() {
        @Suppress("DEPRECATION")
        val intent = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, offer(grey()))
        val controller = start(intent)
        val picture = app.session.state.picture
        assertEquals(200, picture!!.width)
        controller.recreate()
        assertSame(picture, app.session.state.picture)
    }

    @Test
    fun `short of memory the model is closed and opened again when needed`() {
        val activity = start().get()
        pick(activity, offer(grey()))
        press(activity, R.id.deblur)
        app.onTrimMemory(80)
        assertEquals(1, engines.closed)
        press(activity, R.id.deblur)
        assertEquals(2, engines.opened)
    }

    @Test
    fun `what goes wrong is a sentence, and the picture before stays`() {
        val activity = start().get()
        pick(activity, offer(grey()))
        val kept = app.session.state.picture
        pick(activity, offer("no picture".toByteArray(), "a.txt"))
        assertEquals("This is not a picture that the phone can read; choose a JPEG, PNG, WebP or HEIC.", message(activity))
        val png = grey()
        pick(activity, offer(png.copyOf(20), "cut.png"))
        assertEquals("This is not a picture that the phone can read; choose a JPEG, PNG, WebP or HEIC.", message(activity))
        for ((error, sentence) in listOf(
            FileNotFoundException() to "The picture is not there any more, or cannot be read; choose it again.",
            SecurityException() to "The app may not read this picture any more; choose it again.",
        )) {
            val uri = Uri.parse("content://other.app/${error.javaClass.simpleName}")
            shadowOf(app.contentResolver).registerInputStreamSupplier(uri) { throw error }
            pick(activity, uri)
            assertEquals(sentence, message(activity))
        }
        freeMemory(1L shl 20)
        pick(activity, offer(grey(1000, 1000), "large.png"))
        assertEquals("The picture (1000x1000) needs 11 MiB of memory and 1 MiB are free; close other apps or choose a smaller one.", message(activity))
        assertSame(kept, app.session.state.picture)
        engines.onRun = { throw Problem("TensorFlow Lite 2.16.1 cannot run bright.tflite: operator 200 is unknown.") }
        press(activity, R.id.deblur)
        assertEquals("TensorFlow Lite 2.16.1 cannot run bright.tflite: operator 200 is unknown.", message(activity))
        engines.onRun = { throw OutOfMemoryError() }
        press(activity, R.id.deblur)
        assertEquals("The phone ran out of memory; close other apps or choose a smaller picture.", message(activity))
        assertSame(kept, app.session.state.picture)
    }

    @Test
    fun `no model, no camera, no picker`() {
        val activity = start(models = {}).get()
        pick(activity, offer(grey()))
        press(activity, R.id.deblur)
        assertTrue(message(activity), message(activity).startsWith("No model yet"))
        shadowOf(app.packageManager).setSystemFeature("android.hardware.camera.any", false)
        press(activity, R.id.camera)
        assertEquals("This phone has no camera app; choose a photo instead.", message(activity))
        shadowOf(app).checkActivities(true)
        press(activity, R.id.photo)
        assertEquals("No app on this phone can choose pictures; share one to this app instead.", message(activity))
        shadowOf(app.packageManager).setSystemFeature("android.hardware.camera.any", true)
        press(activity, R.id.camera)
        assertEquals("This phone has no camera app; choose a photo instead.", message(activity))
    }

    @Test
    fun `the camera writes into a file that is lent to it`() {
        val activity = start().get()
        shadowOf(app.packageManager).setSystemFeature("android.hardware.camera.any", true)
        press(activity, R.id.camera)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        @Suppress("DEPRECATION")
        val uri = asked.getParcelableExtra<Uri>(MediaStore.EXTRA_OUTPUT)!!
        val provider: ContentProvider = Robolectric.setupContentProvider(FilesProvider::class.java, "edgedeblur.demo.files")
        provider.openFile(uri, "w")!!.use { target ->
            java.io.FileOutputStream(target.fileDescriptor).use { it.write(grey(30, 20)) }
        }
        assertEquals("camera.jpg", provider.query(uri, null, null, null, null)!!.use { it.moveToFirst(); it.getString(0) })
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, null)
        idle()
        assertEquals(30, app.session.state.picture!!.width)
        for (path in listOf("../settings.xml", "a/b", "")) {
            val bad = Uri.Builder().scheme("content").authority("edgedeblur.demo.files").appendEncodedPath(Uri.encode(path)).build()
            assertTrue(path, runCatching { provider.openFile(bad, "r") }.exceptionOrNull() is FileNotFoundException)
        }
    }

    @Test
    fun `before Android 10 saving asks for the permission, and says so when it is refused`() {
        ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", 28)
        val activity = start().get()
        press(activity, R.id.photo)
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_GET_CONTENT, asked.intent.action)
        app.session.open(offer(grey()))
        press(activity, R.id.deblur)
        press(activity, R.id.save)
        val permission = android.Manifest.permission.WRITE_EXTERNAL_STORAGE
        assertEquals(listOf(permission), shadowOf(activity).lastRequestedPermission.requestedPermissions.toList())
        activity.onRequestPermissionsResult(3, arrayOf(permission), intArrayOf(-1))
        idle()
        assertTrue(message(activity), message(activity).startsWith("Without the permission to write"))
    }

    @Test
    fun `EXIF orientation stands the picture upright`() {
        // A 2x1 picture, red then blue, turned by each orientation; where red and blue must be.
        val expected = mapOf(
            1 to "RB", 2 to "BR", 3 to "BR", 4 to "RB",
            5 to "R/B", 6 to "R/B", 7 to "B/R", 8 to "B/R",
        )
        val source = Bitmap.createBitmap(2, 1, Bitmap.Config.ARGB_8888).apply { setPixel(0, 0, Color.RED); setPixel(1, 0, Color.BLUE) }
        for ((orientation, wanted) in expected) {
            val turned = Bitmap.createBitmap(source, 0, 0, 2, 1, upright(orientation), false)
            val rows = (0 until turned.height).joinToString("/") { y -> (0 until turned.width).joinToString("") { x -> if (turned.getPixel(x, y) == Color.RED) "R" else "B" } }
            assertEquals("orientation $orientation", wanted, rows)
        }
        val jpeg = withOrientation(encoded(plain(64, 32, Color.GRAY), Bitmap.CompressFormat.JPEG), 6)
        val activity = start().get()
        pick(activity, offer(jpeg))
        assertEquals(32 to 64, app.session.state.picture!!.let { it.width to it.height })
    }

    @Test
    fun `what was kept when the system destroys the screen restores the view`() {
        val controller = start()
        pick(controller.get(), offer(grey()))
        val state = Bundle()
        controller.saveInstanceState(state).pause().stop().destroy()
        val reborn = Robolectric.buildActivity(MainActivity::class.java).setup(state).get()
        assertNotNull(app.session.state.picture)
        assertTrue(button(reborn, R.id.deblur).isEnabled)
        assertNull(app.session.state.doing)
    }

    /** The JPEG with an EXIF block that holds nothing but the orientation. */
    private fun withOrientation(jpeg: ByteArray, orientation: Int): ByteArray {
        val tiff = byteArrayOf(0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation.toByte(), 0, 0, 0, 0, 0, 0)
        val body = "Exif".toByteArray() + byteArrayOf(0, 0) + tiff
        val length = body.size + 2
        return jpeg.copyOf(2) + byteArrayOf(-1, 0xe1.toByte(), (length shr 8).toByte(), length.toByte()) + body + jpeg.copyOfRange(2, jpeg.size)
    }
}
