package edgedeblur.demo

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import edgedeblur.demo.core.Golden
import edgedeblur.demo.core.Manifest
import edgedeblur.demo.core.Problem
import edgedeblur.demo.core.checkFile
import edgedeblur.demo.core.embeddedText
import edgedeblur.demo.core.hex
import edgedeblur.demo.core.looksLikeTflite
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.channels.FileChannel
import java.security.MessageDigest

/** No model of this project comes near it; a wrong file must not fill the phone. */
private const val MAX_FILE_BYTES = 256L shl 20
private const val FOLDER = "models"
private const val MANIFEST_SUFFIX = ".json"
private const val GOLDEN_SUFFIX = ".golden.npz"

/**
 * A model in the list.
 *
 * @property manifest null where [problem] says why the model cannot be used.
 */
class Model(val name: String, val file: File, val manifest: Manifest?, val problem: String?) {
    /** One line for lists. */
    val title get() = manifest?.let { "${it.target.removePrefix("tflite-")} ${it.input.size} ${it.backbone}" } ?: name

    /** @throws Problem why it cannot be used. */
    fun usable(): Manifest = manifest ?: throw Problem(problem ?: "$name cannot be used.")

    /** The golden tensor that came with it; null if none did. */
    fun golden(): Golden? {
        val file = File(file.path + GOLDEN_SUFFIX)
        val manifest = manifest ?: return null
        if (!file.exists()) return null
        val golden = file.inputStream().use { Golden.read(it, file.name, manifest.input.size) }
        if (manifest.sha256.isNotEmpty() && golden.modelSha256 != manifest.sha256) {
            throw Problem("${file.name} was made for another file than $name; export the model again with --android.")
        }
        return golden
    }
}

/** Models from the app's assets and those that a person opened; both as files, which the interpreter maps. */
class Models(private val context: Context, private val assetFolder: String) {
    private val bundled = File(context.noBackupFilesDir, FOLDER)
    private val opened = File(context.filesDir, FOLDER)

    /** All of them, by name. Reads every file once to compare hashes: not for the main thread. */
    fun list(): List<Model> {
        unpackAssets()
        return listOf(bundled, opened).flatMap { folder ->
            folder.listFiles().orEmpty().filter { it.name.endsWith(".tflite") }.sortedBy { it.name }.map(::read)
        }
    }

    /**
     * Take over files that a person opened or shared: models, with manifest and golden tensor or alone.
     *
     * @return names of the models that came or were completed.
     * @throws Problem a file that is none of these, or that cannot be read.
     */
    fun import(uris: List<Uri>): List<String> {
        val arrived = uris.map { uri -> nameOf(uri) to copy(uri) }
        try {
            val (models, others) = arrived.partition { (_, file) -> looksLikeTflite(head(file)) }
            val names = models.map { (name, file) -> place(name, file) }
            return (names + others.map { (name, file) -> attach(name, file) }).distinct()
        } finally {
            arrived.forEach { (_, file) -> file.delete() }
        }
    }

    fun delete(model: Model) {
        for (suffix in listOf("", MANIFEST_SUFFIX, GOLDEN_SUFFIX)) File(model.file.path + suffix).delete()
    }

    /** Whether it was opened by a person and so can be deleted. */
    fun isOpened(model: Model) = model.file.parentFile == opened

    private fun read(file: File): Model =
        try {
            Model(file.name, file, manifestOf(file), null)
        } catch (problem: Problem) {
            Model(file.name, file, null, problem.sentence)
        } catch (error: IOException) {
            Model(file.name, file, null, "${file.name} cannot be read: ${error.message}")
        }

    private fun manifestOf(file: File): Manifest {
        val beside = File(file.path + MANIFEST_SUFFIX)
        val embedded = FileInputStream(file).use { embeddedText(it.channel.map(FileChannel.MapMode.READ_ONLY, 0, file.length()), file.name) }
        if (beside.exists()) {
            return Manifest.parse(beside.readText(), beside.name).also { it.checkFile(file.name, file.length(), sha256(file)) }
        }
        val text = embedded ?: throw Problem("${file.name} has no manifest; open it together with ${beside.name}, which deblur-export wrote beside it.")
        return Manifest.parse(text, "The manifest in ${file.name}")
    }

    private fun place(name: String, file: File): String {
        val safe = safeName(name).let { if (it.endsWith(".tflite")) it else "$it.tflite" }
        opened.mkdirs()
        val target = File(opened, safe)
        if (!file.renameTo(target)) file.copyTo(target, overwrite = true)
        File(target.path + MANIFEST_SUFFIX).delete()
        File(target.path + GOLDEN_SUFFIX).delete()
        return safe
    }

    /** Lay a manifest or golden tensor beside the model that it belongs to, whatever either is called. */
    private fun attach(name: String, file: File): String {
        val models = opened.listFiles().orEmpty().filter { it.name.endsWith(".tflite") }
        val (suffix, fits) =
            if (String(head(file), 0, 2, Charsets.ISO_8859_1) == "PK") {
                GOLDEN_SUFFIX to { model: File -> goldenFits(model, file) }
            } else {
                val manifest = Manifest.parse(readText(name, file), name)
                MANIFEST_SUFFIX to { model: File -> manifest.sha256 == sha256(model) }
            }
        val model = models.firstOrNull(fits) ?: throw Problem("$name belongs to a model that is not here; open the .tflite together with it.")
        file.copyTo(File(model.path + suffix), overwrite = true)
        return model.name
    }

    private fun goldenFits(model: File, file: File): Boolean {
        val size = read(model).manifest?.input?.size ?: return false
        return try {
            file.inputStream().use { Golden.read(it, file.name, size) }.modelSha256 == sha256(model)
        } catch (_: Problem) {
            false
        }
    }

    private fun readText(name: String, file: File): String {
        if (file.length() > MAX_TEXT_BYTES) throw Problem("$name is neither a TFLite model nor a manifest.")
        val text = file.readText()
        if (!text.trimStart().startsWith("{")) throw Problem("$name is neither a TFLite model nor a manifest.")
        return text
    }

    private fun copy(uri: Uri): File {
        val target = File.createTempFile("arrived", null, context.cacheDir)
        opening(context, uri, "file") { stream -> target.outputStream().use { limited(stream, it, nameOf(uri)) } }
        return target
    }

    private fun limited(from: InputStream, to: java.io.OutputStream, name: String) {
        val buffer = ByteArray(1 shl 16)
        var total = 0L
        while (true) {
            val count = from.read(buffer)
            if (count < 0) return
            total += count
            if (total > MAX_FILE_BYTES) throw Problem("$name is larger than ${MAX_FILE_BYTES shr 20} MiB; it is no model of edgedeblur.")
            to.write(buffer, 0, count)
        }
    }

    private fun nameOf(uri: Uri): String {
        val columns = arrayOf(OpenableColumns.DISPLAY_NAME)
        val told =
            try {
                context.contentResolver.query(uri, columns, null, null, null)?.use { if (it.moveToFirst()) it.getString(0) else null }
            } catch (_: RuntimeException) {
                null // A foreign provider may throw anything; the name is a nicety.
            }
        return told ?: uri.lastPathSegment ?: "the file"
    }

    /** Assets are packed into the app; the interpreter wants files. Copied again after each update of the app. */
    private fun unpackAssets() {
        val stamp = File(bundled, ".installed")
        val installed = context.packageManager.getPackageInfo(context.packageName, 0).lastUpdateTime.toString()
        if (stamp.exists() && stamp.readText() == installed) return
        bundled.deleteRecursively()
        bundled.mkdirs()
        for (name in context.assets.list(assetFolder).orEmpty().filter { ".tflite" in it }) {
            context.assets.open("$assetFolder/$name").use { from -> File(bundled, name).outputStream().use(from::copyTo) }
        }
        stamp.writeText(installed)
    }

    private companion object {
        const val MAX_TEXT_BYTES = 1L shl 20

        fun safeName(name: String) = name.substringAfterLast('/').replace(Regex("[^A-Za-z0-9._-]"), "_").trimStart('.').take(100).ifEmpty { "model" }

        fun head(file: File): ByteArray = file.inputStream().use { stream -> ByteArray(8).also { stream.read(it) } }
    }
}

/**
 * Read what a person chose.
 *
 * @throws Problem it vanished, or its owner does not let us read it.
 */
internal fun <T> opening(context: Context, uri: Uri, what: String, use: (InputStream) -> T): T {
    try {
        val stream = context.contentResolver.openInputStream(uri) ?: throw Problem("The $what is not there any more; choose it again.")
        return stream.use(use)
    } catch (error: SecurityException) {
        throw Problem("The app may not read this $what any more; choose it again.", error)
    } catch (error: IOException) {
        throw Problem("The $what is not there any more, or cannot be read; choose it again.", error)
    } catch (error: IllegalArgumentException) {
        throw Problem("The $what cannot be read; choose it again.", error)
    }
}

internal fun sha256(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    file.inputStream().use { stream ->
        val buffer = ByteArray(1 shl 16)
        generateSequence { stream.read(buffer) }.takeWhile { it >= 0 }.forEach { digest.update(buffer, 0, it) }
    }
    return hex(digest.digest())
}
