package edgedeblur.demo.core

/** Deeper than any manifest or result; a file of a million brackets must not exhaust the stack. */
private const val MAX_DEPTH = 64

private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
private val ESCAPES = mapOf('"' to '"', '\\' to '\\', '/' to '/', 'b' to '\b', 'f' to '\u000c', 'n' to '\n', 'r' to '\r', 't' to '\t')

/** RFC 8259, strictly, with distinct keys. */
internal class JsonParser(private val text: String, private val origin: String) {
    private var at = 0

    fun document(): Json {
        val value = value(0)
        space()
        if (at != text.length) fail("text after its end")
        return value
    }

    private fun value(depth: Int): Json {
        if (depth > MAX_DEPTH) fail("nested deeper than $MAX_DEPTH levels")
        space()
        return when (peek()) {
            '{' -> obj(depth)
            '[' -> array(depth)
            '"' -> Json.Text(string())
            't' -> word("true", Json.Bool(true))
            'f' -> word("false", Json.Bool(false))
            'n' -> word("null", Json.Null)
            else -> number()
        }
    }

    private fun obj(depth: Int): Json {
        val fields = LinkedHashMap<String, Json>()
        members('}') {
            if (peek() != '"') fail("a key is missing")
            val key = string()
            space()
            take(':')
            if (fields.put(key, value(depth + 1)) != null) fail("key \"$key\" twice")
        }
        return Json.Object(fields)
    }

    private fun array(depth: Int): Json {
        val items = ArrayList<Json>()
        members(']') { items.add(value(depth + 1)) }
        return Json.Array(items)
    }

    private fun members(close: Char, one: () -> Unit) {
        at++
        space()
        if (peek() == close) {
            at++
            return
        }
        while (true) {
            space()
            one()
            space()
            if (peek() == close) {
                at++
                return
            }
            take(',')
        }
    }

    private fun string(): String {
        at++
        val out = StringBuilder()
        while (true) {
            val char = peek()
            at++
            when {
                char == '"' -> return out.toString()
                char == '\\' -> out.append(escape())
                char < ' ' -> fail("a control character inside a text")
                else -> out.append(char)
            }
        }
    }

    private fun escape(): Char {
        val char = peek()
        at++
        if (char != 'u') return ESCAPES[char] ?: fail("an unknown escape")
        if (at + 4 > text.length) fail("it ends too soon")
        val digits = text.substring(at, at + 4)
        if (!digits.all { it in '0'..'9' || it.lowercaseChar() in 'a'..'f' }) fail("an unknown escape")
        at += 4
        return digits.toInt(16).toChar()
    }

    private fun number(): Json {
        val match = NUMBER.matchAt(text, at) ?: fail("no value")
        at += match.value.length
        return Json.Number(match.value)
    }

    private fun word(word: String, value: Json): Json {
        if (!text.startsWith(word, at)) fail("no value")
        at += word.length
        return value
    }

    private fun take(char: Char) {
        if (peek() != char) fail("'$char' is missing")
        at++
    }

    private fun peek(): Char = if (at < text.length) text[at] else fail("it ends too soon")

    private fun space() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private fun fail(what: String): Nothing = throw Problem("$origin is not JSON (character $at: $what).")
}
