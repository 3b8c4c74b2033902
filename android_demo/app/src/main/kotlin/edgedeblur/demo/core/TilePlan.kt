package edgedeblur.demo.core

// The same numbers as in runtimes/pictures/tile_plan.py, which says why.
private const val DEFAULT_OVERLAP = 128
private const val RAMP = 32
private const val RAMP_STEPS = 1024

/**
 * A picture's cut, in pixels.
 *
 * @property padded size after reflecting right and bottom.
 * @property rows upper edge of each row of tiles, rising; [columns] the same for left edges.
 */
data class TilePlan(val padded: Size, val tile: Size, val rows: List<Int>, val columns: List<Int>) {
    val count get() = rows.size * columns.size
}

/** Cut a picture for a model of one fixed [tile] size; `plan_tiles` of the Python code, protocol `edge`. */
fun planTiles(picture: Size, tile: Size, multiple: Int): TilePlan {
    val padded =
        Size(maxOf(up(picture.height, multiple), tile.height), maxOf(up(picture.width, multiple), tile.width))
    return TilePlan(
        padded,
        tile,
        origins(padded.height, tile.height, multiple),
        origins(padded.width, tile.width, multiple),
    )
}

private fun origins(side: Int, tile: Int, multiple: Int): List<Int> {
    if (side == tile) return listOf(0)
    val overlap = minOf(up(DEFAULT_OVERLAP, multiple), tile / 2 / multiple * multiple)
    val steps = ceilDiv(side - tile, tile - overlap)
    val units = (side - tile) / multiple
    return List(steps + 1) { i -> (i.toLong() * units / steps).toInt() * multiple }
}

/**
 * How much each tile counts along one axis; `axis_weights` of the Python code.
 *
 * @param radius how far an output pixel sees; null: further than any overlap.
 * @return one array of [tile] weights in [0, 1] per origin; over all tiles of a pixel they sum to exactly 1.
 */
fun axisWeights(origins: List<Int>, tile: Int, radius: Int?): List<FloatArray> {
    val side = origins.last() + tile
    val rises = ArrayList<DoubleArray>()
    rises.add(DoubleArray(side) { 1.0 })
    for ((left, right) in origins.zipWithNext()) {
        val overlap = left + tile - right
        val margin = if (radius != null && overlap >= 2 * radius) radius else maxOf(0, Math.floorDiv(overlap - RAMP, 2))
        val start = right + margin
        val stop = left + tile - margin
        val span = maxOf((stop - start).toDouble(), 1e-6)
        rises.add(DoubleArray(side) { Math.rint(((it + 0.5 - start) / span).coerceIn(0.0, 1.0) * RAMP_STEPS) / RAMP_STEPS })
    }
    rises.add(DoubleArray(side))
    return origins.mapIndexed { i, origin ->
        FloatArray(tile) { (rises[i][origin + it] - rises[i + 1][origin + it]).toFloat() }
    }
}

/** Where a place beyond the last pixel is read: mirrored at the edge pixels, which are not repeated. */
fun reflect(place: Int, side: Int): Int {
    if (side == 1) return 0
    val period = 2 * (side - 1)
    val inside = Math.floorMod(place, period)
    return if (inside < side) inside else period - inside
}

private fun up(value: Int, multiple: Int) = ceilDiv(value, multiple) * multiple

private fun ceilDiv(a: Int, b: Int) = (a + b - 1) / b
