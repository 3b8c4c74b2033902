package edgedeblur.demo

import android.app.Application
import android.os.Handler
import android.os.Looper
import edgedeblur.demo.core.EngineFactory
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/** Holds what outlives a screen: one worker thread, and the two sessions that work on it. */
class DeblurApp : Application() {
    // Tests put fakes here, before the first screen opens.
    var engines: EngineFactory = TfliteEngines()
    var worker: Executor = Executors.newSingleThreadExecutor { Thread(it, "deblur") }

    /** Where in the assets the models lie. */
    var assetFolder = "models"

    val models by lazy { Models(this, assetFolder) }
    val settings by lazy { Settings(this) }
    val session by lazy { Session(this, models, settings, worker, ::onMain) { engines } }
    val benchmark by lazy { BenchmarkSession(this, session, worker, ::onMain) { engines } }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        session.trim()
    }

    private val main = Handler(Looper.getMainLooper())

    private fun onMain(block: () -> Unit) {
        if (Looper.myLooper() == Looper.getMainLooper()) block() else main.post(block)
    }
}
