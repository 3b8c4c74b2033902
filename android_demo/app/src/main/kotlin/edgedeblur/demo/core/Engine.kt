package edgedeblur.demo.core

import java.io.File
import java.nio.ByteBuffer

/** What the person asked for. [threads] counts CPU threads and matters where the GPU does not run. */
data class EngineChoice(val gpu: Boolean = false, val threads: Int = 4)

/**
 * What runs.
 *
 * @property accelerator `GPU` or `CPU (XNNPACK)`.
 * @property sentence which ran, and why not the other.
 */
data class EngineReport(val accelerator: String, val threads: Int, val sentence: String)

/** An open model. Not for several threads at once. */
interface Engine : AutoCloseable {
    val report: EngineReport

    /** Run once. Both buffers are direct, rewound, and as large as the manifest says. */
    fun run(input: ByteBuffer, output: ByteBuffer)
}

/** Opens models; tests put a fake here. */
fun interface EngineFactory {
    /** @throws Problem the runtime refuses the file, or its tensors are not those of the manifest. */
    fun open(file: File, manifest: Manifest, choice: EngineChoice): Engine
}
