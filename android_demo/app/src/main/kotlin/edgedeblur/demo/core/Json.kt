package edgedeblur.demo.core

/**
 * A JSON value. Numbers keep their text, so that a document can be written again digit by digit:
 * a manifest's digest is taken over its text.
 */
sealed interface Json {
    data class Object(val fields: Map<String, Json>) : Json

    data class Array(val items: List<Json>) : Json

    data class Text(val value: String) : Json

    data class Number(val text: String) : Json {
        fun toDouble() = text.toDouble()
    }

    data class Bool(val value: Boolean) : Json

    data object Null : Json

    companion object {
        /**
         * Parse a whole document.
         *
         * @throws Problem where it is not JSON; [origin] names the document.
         */
        fun parse(text: String, origin: String): Json = JsonParser(text, origin).document()

        /** Numbers as Kotlin prints them, which every JSON reader takes; NaN and infinity are refused. */
        fun of(value: Any?): Json =
            when (value) {
                null -> Null
                is Json -> value
                is Boolean -> Bool(value)
                is String -> Text(value)
                is Int, is Long -> Number(value.toString())
                is Double -> {
                    require(value.isFinite()) { "JSON has no word for $value" }
                    Number(value.toString())
                }
                is Map<*, *> -> Object(value.entries.associate { (key, item) -> key as String to of(item) })
                is Iterable<*> -> Array(value.map(::of))
                else -> throw IllegalArgumentException("no JSON for ${value::class}")
            }
    }
}

/** Python's `json.dumps(value, sort_keys=True, separators=(",", ":"))`. */
fun Json.canonical(): String = StringBuilder().also { write(this, it, indent = null, sorted = true) }.toString()

/** Python's `json.dumps(value, indent=2)`, with a last line end. */
fun Json.pretty(): String = StringBuilder().also { write(this, it, indent = 0, sorted = false) }.append('\n').toString()

private fun write(json: Json, out: StringBuilder, indent: Int?, sorted: Boolean) {
    when (json) {
        is Json.Null -> out.append("null")
        is Json.Bool -> out.append(json.value)
        is Json.Number -> out.append(json.text)
        is Json.Text -> quote(json.value, out)
        is Json.Array ->
            list(json.items, '[', ']', out, indent) { item, inner -> write(item, out, inner, sorted) }
        is Json.Object -> {
            val keys = if (sorted) json.fields.keys.sorted() else json.fields.keys
            list(keys, '{', '}', out, indent) { key, inner ->
                quote(key, out)
                out.append(if (indent == null) ":" else ": ")
                write(json.fields.getValue(key), out, inner, sorted)
            }
        }
    }
}

private fun <T> list(
    items: Collection<T>,
    open: Char,
    close: Char,
    out: StringBuilder,
    indent: Int?,
    one: (T, Int?) -> Unit,
) {
    out.append(open)
    val inner = indent?.plus(2)
    items.forEachIndexed { number, item ->
        if (number > 0) out.append(',')
        if (inner != null) out.append('\n').append(" ".repeat(inner))
        one(item, inner)
    }
    if (indent != null && items.isNotEmpty()) out.append('\n').append(" ".repeat(indent))
    out.append(close)
}

private val SHORT = mapOf('"' to "\\\"", '\\' to "\\\\", '\n' to "\\n", '\r' to "\\r", '\t' to "\\t", '\b' to "\\b", '\u000c' to "\\f")

private fun quote(text: String, out: StringBuilder) {
    out.append('"')
    for (char in text) {
        val short = SHORT[char]
        when {
            short != null -> out.append(short)
            char in ' '..'~' -> out.append(char)
            else -> out.append("\\u").append(char.code.toString(16).padStart(4, '0'))
        }
    }
    out.append('"')
}
