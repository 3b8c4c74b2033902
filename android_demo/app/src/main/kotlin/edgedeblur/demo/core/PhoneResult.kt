package edgedeblur.demo.core

const val PHONE_SCHEMA = "edgedeblur.phone"
const val PHONE_SCHEMA_VERSION = 1

/** The phone and the versions. [soc] is null before Android 12, which does not tell. */
data class Device(
    val manufacturer: String,
    val model: String,
    val soc: String?,
    val abi: String,
    val cores: Int,
    val memoryBytes: Long,
    val android: String,
    val sdk: Int,
)

/**
 * What `deblur-bench --import` reads; every field is explained in `benchmarks/phone.py`.
 *
 * @param file the model's file name; never a path.
 * @param content name of the picture that was timed.
 * @param measuredOn date in UTC, `2026-11-21`.
 */
fun phoneResult(
    device: Device,
    app: String,
    tflite: String,
    measuredOn: String,
    file: String,
    content: String,
    manifest: Manifest,
    plan: BenchmarkPlan,
    result: Measurement,
): Json =
    Json.of(
        mapOf(
            "schema" to PHONE_SCHEMA,
            "schema_version" to PHONE_SCHEMA_VERSION,
            "measured_on" to measuredOn,
            "app" to app,
            "tensorflow_lite" to tflite,
            "device" to deviceFields(device),
            "model" to file,
            "manifest" to manifest.body,
            "accelerator" to result.report.accelerator,
            "threads" to result.report.threads,
            "ran" to result.report.sentence,
            "content" to content,
            "warmup" to plan.warmup,
            "load_ms" to result.loadMs,
            "first_ms" to result.firstMs,
            "infer_ms" to result.inferMs,
            "end_to_end_ms" to result.endToEndMs,
            "pre_ms" to result.preMs,
            "post_ms" to result.postMs,
            "parity" to result.parity?.let(::parityFields),
            "sustained" to result.sustained.map(::sampleFields),
        ),
    )

private fun deviceFields(device: Device) =
    mapOf(
        "manufacturer" to device.manufacturer,
        "model" to device.model,
        "soc" to device.soc,
        "abi" to device.abi,
        "cores" to device.cores,
        "memory_bytes" to device.memoryBytes,
        "android" to device.android,
        "sdk" to device.sdk,
    )

/** Infinity (no difference at all) is null. */
private fun parityFields(parity: Parity) =
    mapOf(
        "psnr_db" to parity.psnrDb.takeIf { it.isFinite() },
        "max_abs" to parity.maxAbs,
        "residual_snr_db" to parity.residualSnrDb.takeIf { it.isFinite() },
    )

private fun sampleFields(sample: Sample) =
    mapOf(
        "at_s" to sample.atS,
        "runs" to sample.runs,
        "median_ms" to sample.medianMs,
        "thermal_status" to sample.state.thermalStatus,
        "current_ua" to sample.state.currentUa,
        "battery_percent" to sample.state.batteryPercent,
        "charging" to sample.state.charging,
    )
