package edgedeblur.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Key of the manifest in a model's metadata; `export/produce.py` writes it. */
const val EMBED_KEY = "edgedeblur.manifest"

private const val IDENTIFIER = "TFL3"

// Fields of the tables Model, Metadata and Buffer in TensorFlow's schema.fbs (schema version 3).
private const val MODEL_BUFFERS = 4
private const val MODEL_METADATA = 6
private const val METADATA_NAME = 0
private const val METADATA_BUFFER = 1
private const val BUFFER_DATA = 0

/** Larger than any manifest. */
private const val MAX_TEXT = 1 shl 20

/** Whether a file starts like a TFLite model: the identifier stands at bytes 4 to 7. */
fun looksLikeTflite(head: ByteArray): Boolean = head.size >= 8 && String(head, 4, 4, Charsets.ISO_8859_1) == IDENTIFIER

/**
 * The text that a model carries under [key] in its metadata, or null if it carries none.
 *
 * @param model the whole file; its position and byte order are left alone.
 * @throws Problem not a TFLite model, or a damaged one; [name] names it.
 */
fun embeddedText(model: ByteBuffer, name: String, key: String = EMBED_KEY): String? {
    val data = model.duplicate().order(ByteOrder.LITTLE_ENDIAN)
    val head = ByteArray(minOf(8, data.limit())) { data.get(it) }
    if (!looksLikeTflite(head)) throw Problem("$name is not a TFLite model; make one with deblur-export --target tflite-fp32.")
    try {
        return FlatBuffer(data).text(key)
    } catch (error: IndexOutOfBoundsException) {
        throw Problem("$name is damaged or cut short; copy it again.", error)
    }
}

/** Just enough of FlatBuffers to follow tables, vectors and strings; every access is checked by the buffer. */
private class FlatBuffer(private val data: ByteBuffer) {
    fun text(key: String): String? {
        val model = offset(0)
        val buffers = field(model, MODEL_BUFFERS)?.let(::offset) ?: return null
        val metadata = field(model, MODEL_METADATA)?.let(::offset) ?: return null
        for (number in 0 until length(metadata)) {
            val entry = offset(metadata + 4 + 4 * number)
            val name = field(entry, METADATA_NAME)?.let(::offset) ?: continue
            if (string(name) != key) continue
            val index = field(entry, METADATA_BUFFER)?.let(data::getInt) ?: 0
            if (index !in 0 until length(buffers)) throw IndexOutOfBoundsException("buffer $index")
            val buffer = offset(buffers + 4 + 4 * index)
            return field(buffer, BUFFER_DATA)?.let(::offset)?.let(::string)
        }
        return null
    }

    /** Place of a table's field, or null where the table leaves it out. */
    private fun field(table: Int, number: Int): Int? {
        val vtable = table - data.getInt(table)
        val at = 4 + 2 * number
        val size = data.getShort(vtable).toInt() and 0xffff
        if (at >= size) return null
        val relative = data.getShort(vtable + at).toInt() and 0xffff
        return if (relative == 0) null else table + relative
    }

    private fun offset(place: Int) = place + data.getInt(place)

    private fun length(vector: Int): Int {
        val count = data.getInt(vector)
        if (count !in 0..data.limit()) throw IndexOutOfBoundsException("length $count")
        return count
    }

    private fun string(vector: Int): String {
        val count = length(vector)
        if (count > MAX_TEXT) throw IndexOutOfBoundsException("length $count")
        return String(ByteArray(count) { data.get(vector + 4 + it) }, Charsets.UTF_8)
    }
}
