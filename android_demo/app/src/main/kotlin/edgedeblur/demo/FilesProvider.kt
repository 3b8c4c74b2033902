package edgedeblur.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/**
 * Lends single files of one cache folder to other apps: the camera writes its picture there, and shared results are
 * read from there. Not exported; each file is granted by the intent that names it.
 */
class FilesProvider : ContentProvider() {
    override fun onCreate() = true

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val file = fileOf(uri)
        if ('w' !in mode && !file.exists()) throw FileNotFoundException(uri.toString())
        return ParcelFileDescriptor.open(file, ParcelFileDescriptor.parseMode(mode))
    }

    override fun query(uri: Uri, projection: Array<String>?, selection: String?, arguments: Array<String>?, order: String?): Cursor {
        val file = fileOf(uri)
        val all = mapOf(OpenableColumns.DISPLAY_NAME to file.name, OpenableColumns.SIZE to file.length())
        val columns = (projection ?: all.keys.toTypedArray()).filter { it in all }
        return MatrixCursor(columns.toTypedArray()).apply { addRow(columns.map { all[it] }) }
    }

    override fun getType(uri: Uri): String = if (fileOf(uri).extension == "json") "application/json" else "image/jpeg"

    override fun insert(uri: Uri, values: ContentValues?): Uri? = throw UnsupportedOperationException()

    override fun update(uri: Uri, values: ContentValues?, selection: String?, arguments: Array<String>?) = throw UnsupportedOperationException()

    override fun delete(uri: Uri, selection: String?, arguments: Array<String>?) = throw UnsupportedOperationException()

    private fun fileOf(uri: Uri): File {
        val name = uri.pathSegments.singleOrNull() ?: throw FileNotFoundException(uri.toString())
        val folder = folder(requireNotNull(context))
        val file = File(folder, name)
        if (file.canonicalFile.parentFile != folder.canonicalFile) throw FileNotFoundException(uri.toString())
        return file
    }

    companion object {
        private const val AUTHORITY = "edgedeblur.demo.files"

        fun folder(context: Context) = File(context.cacheDir, "lent").apply { mkdirs() }

        /** Address of a file directly inside [folder]. */
        fun uriFor(file: File): Uri = Uri.Builder().scheme("content").authority(AUTHORITY).appendPath(file.name).build()
    }
}
