"""Runs an engine on the GPU: execution contexts, buffers and CUDA streams.

An `InferenceStream` owns a CUDA stream, an execution context, and host and device buffers. One runs
one picture after the other; with two, the copies of one picture overlap the arithmetic of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..artifact import TensorSpec
from .cuda_calls import Cuda, Handle
from .sdk import TITLES, ErrorLog, load_sdk


class Engine:
    """A deserialised plan.

    Args:
        plan: Its bytes.
        sdk: ``tensorrt`` or ``rtx``.
        origin: The file, for messages.

    Raises:
        ValueError: the SDK cannot load the plan; the message has its reason.
    """

    def __init__(self, plan: bytes, sdk: str, origin: str) -> None:
        module = load_sdk(sdk)
        self.error_log = ErrorLog(module)
        self._runtime = module.Runtime(self.error_log.logger)
        self.cuda_engine = self._runtime.deserialize_cuda_engine(plan)
        if self.cuda_engine is None:
            raise ValueError(
                f"{origin}: {TITLES[sdk]} {module.__version__} cannot load it: "
                f"{self.error_log.text()}; export it again on this machine"
            )

    def names(self, module_mode: Any) -> list[str]:  # noqa: ANN401 - TensorIOMode of the SDK
        """Names of the inputs, or of the outputs."""
        engine = self.cuda_engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        return [name for name in names if engine.get_tensor_mode(name) == module_mode]

    def layer_information(self, module: Any) -> str:  # noqa: ANN401 - the SDK
        """The built layers, as JSON."""
        inspector = self.cuda_engine.create_engine_inspector()
        return inspector.get_engine_information(module.LayerInformationFormat.JSON)


def layer_information(plan: bytes, sdk: str) -> str:
    """`Engine.layer_information` of a plan; needs a GPU.

    Raises:
        ValueError: as `Engine`.
    """
    return Engine(plan, sdk, "the new engine").layer_information(load_sdk(sdk))


@dataclass
class _Buffers:
    """Buffers for one input shape: page-locked host arrays and device addresses."""

    shape: tuple[int, ...]
    host_in: np.ndarray
    host_out: np.ndarray
    device_in: int
    device_out: int
    graph: Handle = None
    runs: int = field(default=0)


class InferenceStream:
    """Runs one picture at a time; `submit` returns at once, `collect` waits.

    Args:
        engine: The engine.
        cuda: CUDA.
        input_spec: The engine's input.
        output_spec: The engine's output.
        origin: The file, for messages.
    """

    def __init__(
        self,
        engine: Engine,
        cuda: Cuda,
        input_spec: TensorSpec,
        output_spec: TensorSpec,
        origin: str,
    ) -> None:
        self._cuda, self._input, self._output, self._origin = cuda, input_spec, output_spec, origin
        self._error_log = engine.error_log
        self._context: Any = engine.cuda_engine.create_execution_context()
        if self._context is None:
            raise MemoryError(f"{origin}: no execution context ({engine.error_log.text()})")
        self._stream = cuda.stream()
        self._start, self._stop = cuda.event(), cuda.event()
        self._buffers: _Buffers | None = None
        self.graph_error: str | None = None if cuda.has_graphs else f"{cuda.package} has none"

    def submit(self, image: np.ndarray) -> None:
        """Start a picture, in the engine's input format; `collect` returns its output."""
        buffers = self._buffers_for(image.shape)
        np.copyto(buffers.host_in, image)
        cuda, stream = self._cuda, self._stream
        cuda.upload(buffers.device_in, buffers.host_in, stream)
        cuda.record(self._start, stream)
        self._compute(buffers)
        cuda.record(self._stop, stream)
        cuda.download(buffers.host_out, buffers.device_out, stream)

    def collect(self) -> np.ndarray:
        """Wait for the last submitted picture; the next one overwrites the array."""
        assert self._buffers is not None
        self._cuda.wait(self._stream)
        return self._buffers.host_out

    @property
    def gpu_ms(self) -> float:
        """Milliseconds of the last picture's arithmetic on the GPU, without copies."""
        return self._cuda.elapsed_ms(self._start, self._stop)

    def _compute(self, buffers: _Buffers) -> None:
        """Replay the CUDA graph; the first run is direct, as TensorRT requires before capture."""
        buffers.runs += 1
        if buffers.graph is None and buffers.runs == 2 and self.graph_error is None:
            try:
                buffers.graph = self._cuda.capture(self._stream, self._enqueue)
            except ValueError as error:
                self.graph_error = str(error)
        if buffers.graph is not None:
            self._cuda.launch(buffers.graph, self._stream)
        else:
            self._enqueue()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._cuda.address(self._stream)):
            raise ValueError(f"{self._origin}: the engine failed ({self._error_log.text()})")

    def _buffers_for(self, shape: tuple[int, ...]) -> _Buffers:
        if self._buffers is not None and self._buffers.shape == shape:
            return self._buffers
        if not self._context.set_input_shape(self._input.name, shape):
            raise ValueError(
                f"{self._origin}: not built for {'x'.join(map(str, shape))} "
                f"({self._error_log.text()}); export it with another --profile"
            )
        self._cuda.wait(self._stream)
        if self._buffers is not None:
            self._cuda.release(self._buffers.device_in)
            self._cuda.release(self._buffers.device_out)
            self._cuda.unpin(self._buffers.host_in)
            self._cuda.unpin(self._buffers.host_out)
            self._buffers = None
        out_shape = tuple(self._context.get_tensor_shape(self._output.name))
        host_in = self._cuda.pinned(shape, np.dtype(self._input.dtype))
        host_out = self._cuda.pinned(out_shape, np.dtype(self._output.dtype))
        device_in = self._cuda.allocate(host_in.nbytes)
        device_out = self._cuda.allocate(host_out.nbytes)
        self._context.set_tensor_address(self._input.name, device_in)
        self._context.set_tensor_address(self._output.name, device_out)
        self._buffers = _Buffers(shape, host_in, host_out, device_in, device_out)
        return self._buffers

    def close(self) -> None:
        """Release the context before its engine; `Cuda.close` releases the rest."""
        self._context = None
