package edgedeblur.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import edgedeblur.demo.core.Cancelled
import edgedeblur.demo.core.Engine
import edgedeblur.demo.core.EngineChoice
import edgedeblur.demo.core.EngineFactory
import edgedeblur.demo.core.Json
import edgedeblur.demo.core.Problem
import edgedeblur.demo.core.Size
import edgedeblur.demo.core.Tiler
import edgedeblur.demo.core.milliseconds
import edgedeblur.demo.core.pretty
import java.io.File
import java.io.IOException
import java.util.concurrent.Executor

private const val NS_PER_MS = 1e6

/**
 * A picture as one model made it.
 *
 * @property ms from pixels to pixels, all tiles, without opening the model.
 * @property ran which accelerator, and why not the other.
 */
data class Outcome(val title: String, val bitmap: Bitmap, val ms: Double, val ran: String)

/**
 * What the screen shows.
 *
 * @property outcomes one, or two if models are compared.
 * @property doing what is being done now, or null.
 * @property progress 0 to 1 while tiles are worked on.
 * @property message the last thing to tell, or null.
 */
data class State(
    val picture: Bitmap? = null,
    val outcomes: List<Outcome> = emptyList(),
    val models: List<Model> = emptyList(),
    val doing: String? = null,
    val progress: Double? = null,
    val message: String? = null,
)

/**
 * The picture, the models and the work on them. Outlives screens; what a person would miss is kept in files, so that
 * it also outlives the process. All methods are called on the main thread; work happens on [worker].
 */
class Session(
    private val context: Context,
    val models: Models,
    private val settings: Settings,
    private val worker: Executor,
    private val onMain: (() -> Unit) -> Unit,
    private val engines: () -> EngineFactory,
) {
    var state = State()
        private set

    var listener: ((State) -> Unit)? = null

    @Volatile private var cancelled = false
    private var opened: OpenModel? = null
    private val folder = File(context.filesDir, "session").apply { mkdirs() }
    private val original = File(folder, "picture")
    private val outcomes = File(folder, "outcomes.json")

    init {
        work(context.getString(R.string.opening)) {
            val found = models.list()
            val picture = if (original.exists()) readPicture(context, original) else null
            val before = if (picture == null) emptyList() else readOutcomes()
            tell { it.copy(models = found, picture = picture, outcomes = before) }
        }
    }

    /** Take a copy of the picture; the one before stays until the new one has proved readable. */
    fun open(uri: Uri) =
        work(context.getString(R.string.opening)) {
            val arrived = File(folder, "arrived")
            opening(context, uri, "picture") { from -> arrived.outputStream().use(from::copyTo) }
            val picture = readPicture(context, arrived)
            forgetOutcomes()
            if (!arrived.renameTo(original)) throw IOException("the picture could not be kept")
            tell { it.copy(picture = picture, outcomes = emptyList(), message = null) }
        }

    fun importModels(uris: List<Uri>) =
        work(context.getString(R.string.opening)) {
            val names = models.import(uris)
            closeModel()
            val found = models.list()
            val bad = found.firstOrNull { it.name in names && it.problem != null }?.problem
            settings.model = settings.model ?: names.firstOrNull()
            tell { it.copy(models = found, message = bad ?: context.getString(R.string.added, names.joinToString())) }
        }

    fun deleteModel(model: Model) =
        work(null) {
            closeModel()
            models.delete(model)
            val found = models.list()
            tell { it.copy(models = found, message = null) }
        }

    /** The model that is chosen, else the first that can be used. */
    fun chosen(): Model? = state.models.firstOrNull { it.name == settings.model } ?: state.models.firstOrNull { it.manifest != null }

    fun compared(): Model? = state.models.firstOrNull { it.name == settings.other && it.name != chosen()?.name }

    fun deblur() {
        val picture = state.picture ?: return
        val model = chosen()
        val wanted = listOfNotNull(model, compared())
        work(context.getString(R.string.deblurring)) {
            if (model == null) throw Problem(context.getString(R.string.no_model))
            val made = wanted.mapIndexed { number, one -> run(one, picture, number, wanted.size) }
            tell { it.copy(outcomes = made, message = told(made)) }
            keepOutcomes(made)
        }
    }

    fun cancel() {
        cancelled = true
    }

    /** Write the result as a JPEG that other apps may read, and hand it to [then] on the main thread. */
    fun export(then: (File) -> Unit) {
        val outcome = state.outcomes.firstOrNull() ?: return
        work(context.getString(R.string.saving)) {
            val file = jpeg(outcome)
            onMain { then(file) }
        }
    }

    /** Add the result to the gallery as a new picture. */
    fun save() {
        val outcome = state.outcomes.firstOrNull() ?: return
        work(context.getString(R.string.saving)) {
            addToGallery(context, jpeg(outcome), "deblurred_${System.currentTimeMillis()}.jpg")
            tell { it.copy(message = context.getString(R.string.saved)) }
        }
    }

    private fun jpeg(outcome: Outcome) = File(FilesProvider.folder(context), "deblurred.jpg").also { writeJpeg(outcome.bitmap, it) }

    fun say(sentence: String) = tell { it.copy(message = sentence) }

    /** The system is short of memory: the model can be opened again, pictures cannot. */
    fun trim() {
        if (state.doing == null) worker.execute(::closeModel)
    }

    private fun told(made: List<Outcome>) = made.joinToString("\n") { "${it.title}: ${milliseconds(it.ms)}. ${it.ran}" }

    private fun run(model: Model, picture: Bitmap, number: Int, all: Int): Outcome {
        val open = openModel(model, settings.choice)
        val result = emptyBitmap(Size(picture.height, picture.width))
        val start = System.nanoTime()
        open.tiler.deblur(BitmapSource(picture), BitmapSink(result), { cancelled }) { done, tiles ->
            tell { it.copy(progress = (number + done.toDouble() / tiles) / all) }
        }
        val ms = (System.nanoTime() - start) / NS_PER_MS
        return Outcome(model.title, result, ms, open.engine.report.sentence)
    }

    private fun openModel(model: Model, choice: EngineChoice): OpenModel {
        opened?.takeIf { it.file == model.file && it.choice == choice }?.let { return it }
        closeModel()
        val manifest = model.usable()
        val engine = engines().open(model.file, manifest, choice)
        return OpenModel(model.file, choice, engine, Tiler(manifest, engine::run)).also { opened = it }
    }

    private fun closeModel() {
        opened?.engine?.close()
        opened = null
    }

    /** Do [block] on the worker, with [doing] on the screen; whatever goes wrong becomes a sentence there. */
    private fun work(doing: String?, block: () -> Unit) {
        cancelled = false
        tell { it.copy(doing = doing, progress = null) }
        worker.execute {
            val sentence =
                try {
                    block()
                    null
                } catch (_: Cancelled) {
                    context.getString(R.string.cancelled)
                } catch (problem: Problem) {
                    problem.sentence
                } catch (error: IOException) {
                    context.getString(R.string.storage_failed, error.message)
                } catch (error: OutOfMemoryError) {
                    closeModel()
                    context.getString(R.string.no_memory)
                }
            tell { it.copy(doing = null, progress = null, message = sentence ?: it.message) }
        }
    }

    private fun tell(change: (State) -> State) = onMain {
        state = change(state)
        listener?.invoke(state)
    }

    private fun keepOutcomes(made: List<Outcome>) {
        forgetOutcomes()
        made.forEachIndexed { number, outcome ->
            File(folder, "outcome$number.png").outputStream().use { outcome.bitmap.compress(Bitmap.CompressFormat.PNG, 0, it) }
        }
        outcomes.writeText(Json.of(made.map { mapOf("title" to it.title, "ms" to it.ms, "ran" to it.ran) }).pretty())
    }

    private fun forgetOutcomes() {
        outcomes.delete()
        repeat(2) { File(folder, "outcome$it.png").delete() }
    }

    /** What was made before the process died; nothing if any of it is missing. */
    private fun readOutcomes(): List<Outcome> {
        if (!outcomes.exists()) return emptyList()
        val items = (Json.parse(outcomes.readText(), outcomes.name) as? Json.Array)?.items.orEmpty()
        return items.mapIndexed { number, item ->
            val fields = (item as? Json.Object)?.fields ?: return emptyList()
            val title = (fields["title"] as? Json.Text)?.value ?: return emptyList()
            val ran = (fields["ran"] as? Json.Text)?.value ?: return emptyList()
            val ms = (fields["ms"] as? Json.Number)?.toDouble() ?: return emptyList()
            val bitmap = BitmapFactory.decodeFile(File(folder, "outcome$number.png").path) ?: return emptyList()
            Outcome(title, bitmap, ms, ran)
        }
    }

    private class OpenModel(val file: File, val choice: EngineChoice, val engine: Engine, val tiler: Tiler)
}
