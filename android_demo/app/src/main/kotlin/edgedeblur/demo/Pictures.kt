package edgedeblur.demo

import android.app.ActivityManager
import android.content.ContentValues
import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import android.os.Build
import android.os.Environment
import android.provider.MediaStore
import edgedeblur.demo.core.PixelSink
import edgedeblur.demo.core.PixelSource
import edgedeblur.demo.core.Problem
import edgedeblur.demo.core.Size
import java.io.File
import java.io.IOException

/** Android draws no bitmap of more than 100 MB; larger ones are shown smaller, but worked on and saved whole. */
private const val SHOWN_PIXELS = 20_000_000
private const val BYTES_PER_PIXEL = 4

/** The picture itself, its turned copy while turning, and the result. */
private const val COPIES = 3
private const val JPEG_QUALITY = 95

/** What a bitmap with the EXIF orientation 1 to 8 must go through to stand upright. */
internal fun upright(orientation: Int): Matrix {
    val matrix = Matrix()
    when (orientation) {
        ExifInterface.ORIENTATION_FLIP_HORIZONTAL -> matrix.setScale(-1f, 1f)
        ExifInterface.ORIENTATION_ROTATE_180 -> matrix.setRotate(180f)
        ExifInterface.ORIENTATION_FLIP_VERTICAL -> matrix.setScale(1f, -1f)
        ExifInterface.ORIENTATION_TRANSPOSE -> { matrix.setRotate(90f); matrix.postScale(-1f, 1f) }
        ExifInterface.ORIENTATION_ROTATE_90 -> matrix.setRotate(90f)
        ExifInterface.ORIENTATION_TRANSVERSE -> { matrix.setRotate(-90f); matrix.postScale(-1f, 1f) }
        ExifInterface.ORIENTATION_ROTATE_270 -> matrix.setRotate(-90f)
    }
    return matrix
}

/**
 * Decode a picture upright, in sRGB, 8 bits a channel.
 *
 * @param file a copy of the original, which is never opened for writing.
 * @throws Problem not a picture that this phone reads, or too large for its memory.
 */
fun readPicture(context: Context, file: File): Bitmap {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    BitmapFactory.decodeFile(file.path, bounds)
    if (bounds.outWidth <= 0 || bounds.outHeight <= 0) throw Problem("This is not a picture that the phone can read; choose a JPEG, PNG, WebP or HEIC.")
    checkMemory(context, Size(bounds.outHeight, bounds.outWidth))
    try {
        val options = BitmapFactory.Options().apply { inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB) }
        val decoded = BitmapFactory.decodeFile(file.path, options) ?: throw Problem("The picture is damaged; choose another.")
        val matrix = upright(orientationOf(file))
        if (matrix.isIdentity) return decoded
        return Bitmap.createBitmap(decoded, 0, 0, decoded.width, decoded.height, matrix, false).also { if (it !== decoded) decoded.recycle() }
    } catch (error: OutOfMemoryError) {
        throw Problem("The picture does not fit this phone's memory; choose a smaller one.", error)
    }
}

private fun orientationOf(file: File): Int =
    try {
        ExifInterface(file.path).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
    } catch (_: IOException) {
        ExifInterface.ORIENTATION_NORMAL // Formats without EXIF.
    }

/** Before decoding, from the header alone. */
private fun checkMemory(context: Context, size: Size) {
    val needed = size.height.toLong() * size.width * BYTES_PER_PIXEL * COPIES
    val info = ActivityManager.MemoryInfo()
    context.getSystemService(ActivityManager::class.java).getMemoryInfo(info)
    val free = info.availMem - info.threshold
    if (needed > free) {
        throw Problem("The picture ($size) needs ${needed shr 20} MiB of memory and ${maxOf(0, free) shr 20} MiB are free; close other apps or choose a smaller one.")
    }
}

class BitmapSource(private val bitmap: Bitmap) : PixelSource {
    override val size = Size(bitmap.height, bitmap.width)

    override fun read(top: Int, count: Int, rows: IntArray) = bitmap.getPixels(rows, 0, bitmap.width, 0, top, bitmap.width, count)
}

class BitmapSink(private val bitmap: Bitmap) : PixelSink {
    override fun write(top: Int, count: Int, rows: IntArray) = bitmap.setPixels(rows, 0, bitmap.width, 0, top, bitmap.width, count)
}

/** @throws Problem no memory for a result of that size. */
fun emptyBitmap(size: Size): Bitmap =
    try {
        Bitmap.createBitmap(size.width, size.height, Bitmap.Config.ARGB_8888).apply { setHasAlpha(false) }
    } catch (error: OutOfMemoryError) {
        throw Problem("The result does not fit this phone's memory; choose a smaller picture.", error)
    }

/** The bitmap, or a smaller copy where Android could not draw it. */
fun shown(bitmap: Bitmap): Bitmap {
    val pixels = bitmap.width.toLong() * bitmap.height
    if (pixels <= SHOWN_PIXELS) return bitmap
    val scale = Math.sqrt(SHOWN_PIXELS.toDouble() / pixels)
    return Bitmap.createScaledBitmap(bitmap, (bitmap.width * scale).toInt(), (bitmap.height * scale).toInt(), true)
}

fun writeJpeg(bitmap: Bitmap, file: File) {
    val done = file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.JPEG, JPEG_QUALITY, it) }
    if (!done) throw IOException("${file.name}: the encoder refused")
}

/**
 * Add a JPEG to the gallery, as a new picture.
 *
 * @return where it is.
 * @throws Problem no room, or Android does not let us.
 */
fun addToGallery(context: Context, jpeg: File, name: String): Uri {
    val resolver = context.contentResolver
    val values = ContentValues().apply {
        put(MediaStore.Images.Media.DISPLAY_NAME, name)
        put(MediaStore.Images.Media.MIME_TYPE, "image/jpeg")
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            put(MediaStore.Images.Media.RELATIVE_PATH, Environment.DIRECTORY_PICTURES + "/edgedeblur")
            put(MediaStore.Images.Media.IS_PENDING, 1)
        }
    }
    var uri: Uri? = null
    try {
        uri = resolver.insert(MediaStore.Images.Media.EXTERNAL_CONTENT_URI, values) ?: throw IOException("no place in the gallery")
        val stream = resolver.openOutputStream(uri) ?: throw IOException("no place in the gallery")
        stream.use { jpeg.inputStream().use { from -> from.copyTo(it) } }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            resolver.update(uri, ContentValues().apply { put(MediaStore.Images.Media.IS_PENDING, 0) }, null, null)
        }
        return uri
    } catch (error: IOException) {
        uri?.let { resolver.delete(it, null, null) }
        throw Problem("The picture could not be saved: ${error.message}. Free some storage and try again.", error)
    } catch (error: SecurityException) {
        throw Problem("Saving needs the permission to write to storage; allow it in the phone's settings, or share the picture instead.", error)
    } catch (error: IllegalStateException) {
        throw Problem("The gallery does not answer; try again, or share the picture instead.", error)
    }
}
