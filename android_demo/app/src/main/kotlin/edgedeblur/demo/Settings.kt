package edgedeblur.demo

import android.content.Context
import edgedeblur.demo.core.EngineChoice

/** What the person chose, kept over restarts. */
class Settings(context: Context) {
    private val kept = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    /** File name of the model, or null before one was chosen. */
    var model: String?
        get() = kept.getString("model", null)
        set(value) = kept.edit().putString("model", value).apply()

    /** File name of the model to compare with; null compares with the picture itself. */
    var other: String?
        get() = kept.getString("other", null)
        set(value) = kept.edit().putString("other", value).apply()

    var choice: EngineChoice
        get() = EngineChoice(kept.getBoolean("gpu", false), kept.getInt("threads", defaultThreads()).coerceIn(1, cores()))
        set(value) = kept.edit().putBoolean("gpu", value.gpu).putInt("threads", value.threads).apply()

    companion object {
        fun cores() = Runtime.getRuntime().availableProcessors()

        /** Phones have a few fast cores among slow ones; more threads than fast cores mostly wait. */
        fun defaultThreads() = minOf(4, cores())
    }
}
