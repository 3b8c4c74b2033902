package edgedeblur.demo

import edgedeblur.demo.core.Engine
import edgedeblur.demo.core.EngineChoice
import edgedeblur.demo.core.EngineFactory
import edgedeblur.demo.core.EngineReport
import edgedeblur.demo.core.Manifest
import edgedeblur.demo.core.Problem
import edgedeblur.demo.core.TensorSpec
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.MappedByteBuffer
import java.nio.channels.FileChannel
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegation
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate

/** Version of the library that Gradle and Maven are told to take; for results. */
const val TFLITE_VERSION = "2.16.1"

/** Opens models with TensorFlow Lite: on the GPU if asked and if it takes the whole graph, else on the CPU. */
class TfliteEngines : EngineFactory {
    override fun open(file: File, manifest: Manifest, choice: EngineChoice): Engine {
        val model = map(file)
        var whyNot = "GPU not asked for."
        if (choice.gpu) {
            try {
                return onGpu(model, file.name, manifest)
            } catch (refused: GpuRefused) {
                whyNot = "GPU: ${refused.message}."
            }
        }
        return onCpu(model, file.name, manifest, choice.threads, whyNot)
    }

    private fun onCpu(model: MappedByteBuffer, name: String, manifest: Manifest, threads: Int, whyNot: String): Engine {
        val options = Interpreter.Options().setNumThreads(threads).setUseXNNPACK(true)
        val interpreter = inWords(name) { Interpreter(model, options) }
        val report = EngineReport("CPU (XNNPACK)", threads, "Ran on the CPU with XNNPACK, $threads threads. $whyNot")
        return checked(interpreter, null, manifest, name, report)
    }

    /** A graph cut in two copies pictures between GPU and CPU and is often slower than either: whole, or not at all. */
    private fun onGpu(model: MappedByteBuffer, name: String, manifest: Manifest): Engine {
        var delegate: GpuDelegate? = null
        var interpreter: Interpreter? = null
        try {
            if (!CompatibilityList().use { it.isDelegateSupportedOnThisDevice }) {
                throw GpuRefused("TensorFlow Lite does not support the one in this phone")
            }
            delegate = GpuDelegate()
            // Without XNNPACK, so that what the GPU left over shows as nodes of its own.
            interpreter = Interpreter(model, Interpreter.Options().setUseXNNPACK(false).addDelegate(delegate))
            val nodes = Delegation.nodes(interpreter)
            if (nodes != 1) throw GpuRefused("it took only a part of this model and left $nodes steps")
            val report = EngineReport("GPU", 1, "Ran on the GPU, which took the whole model; the CPU was not needed.")
            return checked(interpreter, delegate, manifest, name, report)
        } catch (error: Exception) {
            interpreter?.close()
            delegate?.close()
            throw if (error is GpuRefused || error is Problem) error else GpuRefused(firstLine(error))
        } catch (error: LinkageError) {
            throw GpuRefused("its library does not load here (${firstLine(error)})")
        }
    }

    private fun checked(interpreter: Interpreter, delegate: GpuDelegate?, manifest: Manifest, name: String, report: EngineReport): Engine {
        val engine = TfliteEngine(interpreter, delegate, name, report)
        try {
            if (interpreter.inputTensorCount != 1 || interpreter.outputTensorCount != 1) {
                throw Problem("$name has several inputs or outputs; it is no model of edgedeblur.")
            }
            checkTensor(interpreter.getInputTensor(0), manifest.input, name)
            checkTensor(interpreter.getOutputTensor(0), manifest.output, name)
            return engine
        } catch (problem: Problem) {
            engine.close()
            throw problem
        }
    }

    private fun checkTensor(tensor: Tensor, spec: TensorSpec, name: String) {
        val shape = tensor.shape().toList()
        val type = TYPES.getValue(spec.dtype)
        if (shape != spec.shape || tensor.dataType() != type) {
            throw Problem("$name holds ${tensor.dataType()} of shape $shape where its manifest says ${spec.dtype} ${spec.shape}; export it again.")
        }
    }

    private fun map(file: File): MappedByteBuffer =
        try {
            FileInputStream(file).use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, file.length()) }
        } catch (error: IOException) {
            throw Problem("The model ${file.name} is gone; open it again.", error)
        }

    private companion object {
        val TYPES = mapOf("float32" to DataType.FLOAT32, "uint8" to DataType.UINT8, "int8" to DataType.INT8)
    }
}

private class GpuRefused(message: String) : Exception(message)

/** Buffers belong to the caller, who uses them again for every run. */
private class TfliteEngine(
    private val interpreter: Interpreter,
    private val delegate: GpuDelegate?,
    private val name: String,
    override val report: EngineReport,
) : Engine {
    override fun run(input: ByteBuffer, output: ByteBuffer) = inWords(name) { interpreter.run(input, output) }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }
}

private fun <T> inWords(name: String, block: () -> T): T =
    try {
        block()
    } catch (error: IllegalArgumentException) {
        // TensorFlow Lite gives every refusal this type: a damaged file, or an operator that it does not have.
        throw Problem("TensorFlow Lite $TFLITE_VERSION cannot run $name: ${firstLine(error)}.", error)
    } catch (error: IllegalStateException) {
        throw Problem("TensorFlow Lite $TFLITE_VERSION stopped in $name: ${firstLine(error)}.", error)
    } catch (error: LinkageError) {
        throw Problem("TensorFlow Lite $TFLITE_VERSION does not load on this phone: ${firstLine(error)}.", error)
    }

private fun firstLine(error: Throwable) = (error.message ?: error.javaClass.simpleName).lineSequence().first().take(200).trimEnd('.', ' ')
