package edgedeblur.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The smallest file with TFLite's identifier and metadata: a model without a graph. */
fun tfliteWith(vararg metadata: Pair<String, String>): ByteArray {
    val out = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN)
    out.putInt(0).put("TFL3".toByteArray())
    // The model's vtable: 7 fields, of which 4 (buffers) and 6 (metadata) are there, at 4 and 8 bytes.
    val vtable = out.position()
    for (value in listOf(18, 12, 0, 0, 0, 0, 4, 0, 8)) out.putShort(value.toShort())
    out.putShort(0)
    val model = out.position()
    out.putInt(0, model)
    out.putInt(model - vtable).putInt(0).putInt(0)
    val buffers = vector(out, model + 4, metadata.map { (_, text) -> { table(out, listOf(0 to text)) } })
    check(buffers == metadata.size)
    vector(out, model + 8, metadata.mapIndexed { number, (key, _) -> { table(out, listOf(0 to key, 1 to number)) } })
    return out.array().copyOf(out.position())
}

private fun vector(out: ByteBuffer, pointer: Int, items: List<() -> Int>): Int {
    out.putInt(pointer, out.position() - pointer)
    out.putInt(items.size)
    val first = out.position()
    repeat(items.size) { out.putInt(0) }
    items.forEachIndexed { number, write ->
        val place = first + 4 * number
        val at = write()
        out.putInt(place, at - place)
    }
    return items.size
}

/** A table of texts (as byte vectors) and ints; returns its place. */
private fun table(out: ByteBuffer, fields: List<Pair<Int, Any>>): Int {
    while (out.position() % 4 != 0) out.put(0)
    val vtable = out.position()
    out.putShort((4 + 2 * fields.size).toShort()).putShort((4 + 4 * fields.size).toShort())
    fields.indices.forEach { out.putShort((4 + 4 * it).toShort()) }
    while (out.position() % 4 != 0) out.put(0)
    val table = out.position()
    out.putInt(table - vtable)
    repeat(fields.size) { out.putInt(0) }
    fields.forEachIndexed { number, (_, value) ->
        val place = table + 4 + 4 * number
        if (value is Int) {
            out.putInt(place, value)
        } else {
            out.putInt(place, out.position() - place)
            val bytes = (value as String).toByteArray()
            out.putInt(bytes.size).put(bytes).put(0)
            while (out.position() % 4 != 0) out.put(0)
        }
    }
    return table
}
