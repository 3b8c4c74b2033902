package edgedeblur.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.Switch
import android.widget.TextView
import edgedeblur.demo.core.BenchmarkPlan
import edgedeblur.demo.core.EngineChoice

private val RUNS = listOf(10, 20, 50, 100)
private val MINUTES = listOf(0, 1, 3, 5, 10)
private const val USUAL_RUNS = 1

/** Measures one model; the result can be shared as JSON. */
class BenchmarkActivity : Activity() {
    private val app get() = application as DeblurApp
    private lateinit var model: Choice
    private lateinit var runs: Choice
    private lateinit var threads: Choice
    private lateinit var sustained: Choice

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        model = Choice(findViewById(R.id.model)) {}
        runs = Choice(findViewById(R.id.runs)) {}
        threads = Choice(findViewById(R.id.threads)) {}
        sustained = Choice(findViewById(R.id.sustained)) {}
        val choice = app.settings.choice
        runs.show(RUNS.map(Int::toString), USUAL_RUNS)
        threads.show((1..Settings.cores()).map(Int::toString), choice.threads - 1)
        sustained.show(MINUTES.map { if (it == 0) getString(R.string.off) else getString(R.string.minutes, it) }, 0)
        findViewById<Switch>(R.id.gpu).isChecked = choice.gpu
        findViewById<Button>(R.id.measure).setOnClickListener { if (app.benchmark.state.step == null) start() else app.benchmark.cancel() }
        findViewById<Button>(R.id.share).setOnClickListener { shareResult() }
    }

    override fun onStart() {
        super.onStart()
        app.session.listener = { showModels() }
        app.benchmark.listener = ::render
        showModels()
        render(app.benchmark.state)
    }

    override fun onStop() {
        app.session.listener = null
        app.benchmark.listener = null
        super.onStop()
    }

    private fun usable() = app.session.state.models.filter { it.manifest != null }

    private fun showModels() {
        val kept = model.position.takeIf { it in usable().indices } ?: usable().indexOfFirst { it.name == app.session.chosen()?.name }
        model.show(usable().map { it.title }, kept)
    }

    private fun start() {
        val choice = EngineChoice(findViewById<Switch>(R.id.gpu).isChecked, threads.position + 1)
        val plan = BenchmarkPlan(runs = RUNS[runs.position], sustainedSeconds = MINUTES[sustained.position] * 60)
        app.benchmark.start(usable().getOrNull(model.position), choice, plan)
    }

    private fun shareResult() {
        val file = app.benchmark.state.file ?: return
        share(this, file, "application/json") ?: run { findViewById<TextView>(R.id.message).text = getString(R.string.no_share) }
    }

    private fun render(state: BenchmarkState) {
        val busy = state.step != null
        // A screen that goes dark lets the phone sleep in the middle of a measurement.
        if (busy) window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON) else window.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        findViewById<Button>(R.id.measure).text = getString(if (busy) R.string.cancel else R.string.measure)
        findViewById<ProgressBar>(R.id.progress).apply {
            visibility = if (busy) View.VISIBLE else View.INVISIBLE
            progress = (state.progress * max).toInt()
        }
        findViewById<TextView>(R.id.message).text = state.step ?: state.message.orEmpty()
        findViewById<Button>(R.id.share).isEnabled = state.file != null
        val result = findViewById<LinearLayout>(R.id.result)
        result.visibility = if (state.lines.isEmpty()) View.INVISIBLE else View.VISIBLE
        result.removeAllViews()
        state.lines.forEachIndexed { number, text -> result.addView(line(text, first = number == 0)) }
    }

    private fun line(text: String, first: Boolean) =
        TextView(this, null, 0, R.style.Message).apply {
            this.text = text
            setTextIsSelectable(true)
            if (first) typeface = android.graphics.Typeface.create("sans-serif-medium", android.graphics.Typeface.NORMAL)
            setPadding(0, 0, 0, (8 * resources.displayMetrics.density).toInt())
        }
}
