package edgedeblur.demo

import android.content.Context
import android.graphics.Bitmap
import edgedeblur.demo.core.Benchmark
import edgedeblur.demo.core.BenchmarkPlan
import edgedeblur.demo.core.Cancelled
import edgedeblur.demo.core.EngineChoice
import edgedeblur.demo.core.EngineFactory
import edgedeblur.demo.core.Golden
import edgedeblur.demo.core.Measurement
import edgedeblur.demo.core.Problem
import edgedeblur.demo.core.Size
import edgedeblur.demo.core.milliseconds
import edgedeblur.demo.core.phoneResult
import edgedeblur.demo.core.pretty
import edgedeblur.demo.core.reflect
import edgedeblur.demo.core.spread
import java.io.File
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import java.util.concurrent.Executor

/**
 * What the benchmark screen shows.
 *
 * @property step what is being measured, or null.
 * @property lines the result, one fact a line.
 * @property file the result as JSON, for sharing.
 */
data class BenchmarkState(
    val step: String? = null,
    val progress: Double = 0.0,
    val lines: List<String> = emptyList(),
    val file: File? = null,
    val message: String? = null,
)

/** One measurement at a time, on the same worker as everything else, so that nothing runs beside it. */
class BenchmarkSession(
    private val context: Context,
    private val session: Session,
    private val worker: Executor,
    private val onMain: (() -> Unit) -> Unit,
    private val engines: () -> EngineFactory,
) {
    var state = BenchmarkState()
        private set

    var listener: ((BenchmarkState) -> Unit)? = null

    @Volatile private var cancelled = false
    private val reader = DeviceReader(context)

    fun cancel() {
        cancelled = true
    }

    fun start(model: Model?, choice: EngineChoice, plan: BenchmarkPlan) {
        cancelled = false
        val picture = session.state.picture
        session.trim()
        tell { BenchmarkState(step = context.getString(R.string.opening)) }
        worker.execute {
            try {
                if (model == null) throw Problem(context.getString(R.string.no_model))
                measure(model, choice, plan, picture)
            } catch (_: Cancelled) {
                fail(context.getString(R.string.cancelled))
            } catch (problem: Problem) {
                fail(problem.sentence)
            } catch (error: IOException) {
                fail(context.getString(R.string.storage_failed, error.message))
            } catch (error: OutOfMemoryError) {
                fail(context.getString(R.string.no_memory))
            }
        }
    }

    private fun measure(model: Model, choice: EngineChoice, plan: BenchmarkPlan, picture: Bitmap?) {
        val manifest = model.usable()
        val golden = model.golden()
        val (content, pixels) = content(golden, picture, manifest.input.size)
        val benchmark = Benchmark(manifest, pixels, golden, { engines().open(model.file, manifest, choice) }, state = reader::state)
        val result = benchmark.measure(plan, { cancelled }) { step, share -> tell { it.copy(step = step, progress = share) } }
        val file = write(model, content, plan, result)
        tell { BenchmarkState(lines = lines(model, content, plan, result), file = file) }
    }

    /** The golden picture, so that parity and time are of the same pixels; else what is on the main screen. */
    private fun content(golden: Golden?, picture: Bitmap?, size: Size): Pair<String, IntArray> {
        if (golden != null) return "golden picture" to golden.pixels
        if (picture == null) throw Problem(context.getString(R.string.nothing_to_measure))
        val pixels = IntArray(size.height * size.width) { picture.getPixel(reflect(it % size.width, picture.width), reflect(it / size.width, picture.height)) }
        return "own picture" to pixels
    }

    private fun write(model: Model, content: String, plan: BenchmarkPlan, result: Measurement): File {
        val now = Date()
        val version = requireNotNull(context.packageManager.getPackageInfo(context.packageName, 0).versionName)
        val json = phoneResult(reader.device(), version, TFLITE_VERSION, utc("yyyy-MM-dd", now), model.name, content, model.usable(), plan, result)
        val name = "phone_${model.name.removeSuffix(".tflite")}_${utc("yyyyMMdd-HHmmss", now)}.json"
        // Reachable over USB as well; and a copy that can be lent to other apps.
        context.getExternalFilesDir("results")?.let { File(it, name).writeText(json.pretty()) }
        return File(FilesProvider.folder(context), name).apply { writeText(json.pretty()) }
    }

    private fun utc(pattern: String, date: Date) = SimpleDateFormat(pattern, Locale.ROOT).apply { timeZone = TimeZone.getTimeZone("UTC") }.format(date)

    private fun fail(sentence: String) = tell { it.copy(step = null, message = sentence) }

    private fun tell(change: (BenchmarkState) -> BenchmarkState) = onMain {
        state = change(state)
        listener?.invoke(state)
    }
}

/** The result for people; every number says what it is. */
internal fun lines(model: Model, content: String, plan: BenchmarkPlan, result: Measurement): List<String> {
    val infer = spread(result.inferMs)
    val ends = spread(result.endToEndMs)
    val parity = result.parity
    return listOfNotNull(
        "${model.title}, $content",
        result.report.sentence,
        "Model: median ${milliseconds(infer.medianMs)} [p5 ${milliseconds(infer.p5Ms)}, p95 ${milliseconds(infer.p95Ms)}], ${plan.runs} runs after the first and ${plan.warmup} more",
        "Picture to picture: median ${milliseconds(ends.medianMs)} [p5 ${milliseconds(ends.p5Ms)}, p95 ${milliseconds(ends.p95Ms)}]",
        "Opening the model: ${milliseconds(result.loadMs)}, first run: ${milliseconds(result.firstMs)}",
        if (parity == null) {
            "Parity: not measured, the model has no golden tensor"
        } else {
            "Parity with PyTorch: PSNR ${decibels(parity.psnrDb)}, residual SNR ${decibels(parity.residualSnrDb)}, largest difference %.4f of [-1, 1]".format(Locale.ROOT, parity.maxAbs)
        },
        sustainedLine(result),
    )
}

private fun sustainedLine(result: Measurement): String? {
    val first = result.sustained.firstOrNull() ?: return null
    val last = result.sustained.last()
    val hottest = result.sustained.mapNotNull { it.state.thermalStatus }.maxOrNull()?.toString() ?: "not reported by this phone"
    val currents = result.sustained.mapNotNull { it.state.currentUa }
    val current = if (currents.isEmpty()) "not reported by this phone" else "%.0f mA".format(Locale.ROOT, currents.average() / 1000)
    return "Sustained, %.0f s: %s at first, %s at last; thermal status (0 to 6) at most %s; battery current, mean %s"
        .format(Locale.ROOT, last.atS, milliseconds(first.medianMs), milliseconds(last.medianMs), hottest, current)
}

private fun decibels(value: Double) = if (value.isInfinite()) "identical" else "%.2f dB".format(Locale.ROOT, value)
