package edgedeblur.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Color
import android.widget.Button
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** A usual phone's width and height, at a density that keeps the files small. */
private const val PHONE = "w411dp-h860dp-port-notnight-hdpi"
private const val PHONE_AT_NIGHT = "w411dp-h860dp-port-night-hdpi"

/**
 * The screens, drawn by Android's own renderer with a fake interpreter. `-Ddemo.write=android_demo/docs` keeps the
 * pictures; what is drawn is checked in any case.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreenshotTest {
    private fun shoot(activity: Activity, name: String): Bitmap {
        val picture = screenshot(activity)
        val folder = System.getProperty("demo.write").orEmpty()
        if (folder.isNotEmpty()) {
            File(folder).mkdirs()
            File(folder, name).outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
        }
        val colours = HashSet<Int>()
        for (y in 0 until picture.height step 7) for (x in 0 until picture.width step 7) colours.add(picture.getPixel(x, y))
        assertTrue("$name is blank", colours.size > 20)
        return picture
    }

    /** So that nobody takes the times in these pictures for a phone's. */
    private val standIn = FakeEngines(says = "A stand-in for the interpreter, in a test: not a model, and not a phone's time.")

    private fun twoModels() {
        addModel("mobilenet_dsc_tflite-fp32_256x256.tflite", 256, 256)
        addModel("mobilenet_dsc_tflite-int8_256x256.tflite", 256, 256, target = "tflite-int8", parity = "38.41")
    }

    @Test
    fun `the empty screen`() {
        twoModels()
        prepared()
        shoot(Robolectric.buildActivity(MainActivity::class.java).setup().get(), "empty.png")
    }

    @Test
    @Config(qualifiers = PHONE_AT_NIGHT)
    fun `the empty screen at night`() {
        prepared()
        val picture = shoot(Robolectric.buildActivity(MainActivity::class.java).setup().get(), "empty_night.png")
        assertEquals("the night's background", Color.rgb(0x12, 0x15, 0x1c), picture.getPixel(5, picture.height - 5))
    }

    @Test
    fun `before and after`() {
        twoModels()
        prepared(standIn)
        val activity = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        app.session.open(offer(samplePhoto()))
        app.session.deblur()
        shoot(activity, "deblurred.png")
        assertTrue(activity.findViewById<Button>(R.id.save).isEnabled)
    }

    @Test
    fun `the list of models`() {
        twoModels()
        addModel("stranger.tflite")
        File(app.filesDir, "models/stranger.tflite.json").delete()
        prepared()
        shoot(Robolectric.buildActivity(ModelsActivity::class.java).setup().get(), "models.png")
    }

    @Test
    fun `the benchmark`() {
        twoModels()
        prepared(standIn)
        app.session.open(offer(samplePhoto()))
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java).setup().get()
        idle()
        activity.findViewById<Button>(R.id.measure).performClick()
        shoot(activity, "benchmark.png")
    }
}
