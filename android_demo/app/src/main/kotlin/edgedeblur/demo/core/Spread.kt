package edgedeblur.demo.core

/** Median and 5th and 95th percentile of repeated measurements, in milliseconds. */
data class Spread(val medianMs: Double, val p5Ms: Double, val p95Ms: Double)

/** Percentiles with linear interpolation between measurements, as `benchmarks/timing/latency.py` has them. */
fun spread(timesMs: List<Double>): Spread {
    require(timesMs.isNotEmpty() && timesMs.all { it.isFinite() }) { "no finite measurements to summarise" }
    val sorted = timesMs.sorted()
    return Spread(percentile(sorted, 0.5), percentile(sorted, 0.05), percentile(sorted, 0.95))
}

private fun percentile(sorted: List<Double>, share: Double): Double {
    val place = share * (sorted.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}

/** Milliseconds as people read them: one digit after the point below 100. */
fun milliseconds(value: Double): String = if (value >= 100) "%.0f ms".format(java.util.Locale.ROOT, value) else "%.1f ms".format(java.util.Locale.ROOT, value)
