package edgedeblur.demo.core

private const val NS_PER_MS = 1e6

/** How a measurement is made. [sustainedSeconds] 0 leaves the long run out. */
data class BenchmarkPlan(val warmup: Int = 3, val runs: Int = 20, val sustainedSeconds: Int = 0) {
    init {
        require(warmup >= 0 && runs >= 1 && sustainedSeconds >= 0) { "nothing to measure" }
    }
}

/**
 * The phone's state at one moment; what a phone does not tell is null.
 *
 * @property thermalStatus 0 (none) to 6 (shutdown), as Android's PowerManager counts.
 * @property currentUa battery current in microamperes, positive into the battery on most phones.
 */
data class DeviceState(val thermalStatus: Int?, val currentUa: Long?, val batteryPercent: Int?, val charging: Boolean?)

/** A few seconds of the long run: their median, and the phone's state at their end. */
data class Sample(val atS: Double, val runs: Int, val medianMs: Double, val state: DeviceState)

/** @property loadMs opening the model; `firstMs` the first run. All lists hold every measured run. */
data class Measurement(
    val loadMs: Double,
    val firstMs: Double,
    val inferMs: List<Double>,
    val endToEndMs: List<Double>,
    val preMs: List<Double>,
    val postMs: List<Double>,
    val parity: Parity?,
    val sustained: List<Sample>,
    val report: EngineReport,
)

/**
 * Measures one model on one picture of its own size.
 *
 * @param open opens the model anew; its time is measured.
 * @param clock nanoseconds, as System.nanoTime gives them.
 * @param state read between runs, never while one is timed.
 */
class Benchmark(
    private val manifest: Manifest,
    private val pixels: IntArray,
    private val golden: Golden?,
    private val open: () -> Engine,
    private val clock: () -> Long = System::nanoTime,
    private val state: () -> DeviceState,
) {
    private val spec = manifest.input
    private val encoder = TensorCodec(manifest.input)
    private val decoder = TensorCodec(manifest.output)
    private val input = directBuffer(manifest.input.bytes)
    private val output = directBuffer(manifest.output.bytes)
    private val planes = FloatArray(spec.size.height * spec.size.width * 3)

    /**
     * @param progress called with a step's name and its share done, 0 to 1.
     * @throws Cancelled between two runs, if [cancel] said so.
     */
    fun measure(plan: BenchmarkPlan, cancel: Cancel, progress: (String, Double) -> Unit): Measurement {
        require(pixels.size == spec.size.height * spec.size.width) { "a picture of another size" }
        val start = clock()
        return open().use { engine ->
            val loadMs = (clock() - start) / NS_PER_MS
            encoder.encode(pixels, input)
            val firstMs = once(engine)
            val parity = golden?.let { compared(it) }
            repeated(plan.warmup, "warm-up", cancel, progress) { once(engine) }
            val infer = repeated(plan.runs, "measuring the model", cancel, progress) { once(engine) }
            val ends = repeated(plan.runs, "measuring end to end", cancel, progress) { whole(engine) }
            val sustained = sustained(engine, plan.sustainedSeconds, cancel, progress)
            Measurement(
                loadMs, firstMs, infer, ends.map { it.sum() }, ends.map { it[0] }, ends.map { it[2] },
                parity, sustained, engine.report,
            )
        }
    }

    private fun compared(golden: Golden): Parity {
        decoder.decode(output, planes)
        return parity(planes, golden)
    }

    private fun <T> repeated(count: Int, step: String, cancel: Cancel, progress: (String, Double) -> Unit, one: () -> T): List<T> =
        List(count) {
            if (cancel.asked()) throw Cancelled()
            one().also { _ -> progress(step, (it + 1.0) / count) }
        }

    private fun once(engine: Engine): Double {
        input.rewind()
        output.rewind()
        val start = clock()
        engine.run(input, output)
        return (clock() - start) / NS_PER_MS
    }

    /** Picture to picture: milliseconds before, inside and after the model. */
    private fun whole(engine: Engine): List<Double> {
        val start = clock()
        encoder.encode(pixels, input)
        val encoded = clock()
        output.rewind()
        engine.run(input, output)
        val inferred = clock()
        decoder.decode(output, planes)
        IntArray(pixels.size) { i ->
            (toByte(planes[i * 3]) shl 16) or (toByte(planes[i * 3 + 1]) shl 8) or toByte(planes[i * 3 + 2])
        }
        val stop = clock()
        return listOf(encoded - start, inferred - encoded, stop - inferred).map { it / NS_PER_MS }
    }

    private fun sustained(engine: Engine, seconds: Int, cancel: Cancel, progress: (String, Double) -> Unit): List<Sample> {
        val samples = ArrayList<Sample>()
        val start = clock()
        fun elapsed() = (clock() - start) / 1e9
        while (elapsed() < seconds) {
            val until = minOf(seconds.toDouble(), elapsed() + SAMPLE_S)
            val times = ArrayList<Double>()
            do {
                if (cancel.asked()) throw Cancelled()
                times.add(once(engine))
            } while (elapsed() < until)
            samples.add(Sample(elapsed(), times.size, spread(times).medianMs, state()))
            progress("sustained run", minOf(1.0, elapsed() / seconds))
        }
        return samples
    }

    private companion object {
        const val SAMPLE_S = 5.0
    }
}
