"""TensorRT: runs ``.plan`` artifacts on an NVIDIA GPU, or their typed graph where there is none."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from ..artifact import Manifest
from ..base import Runner
from ..command_line.console import one_line
from ..io_format import from_io_format, to_io_format
from ..optional import MissingDependencyError, available
from ..registry import runtime
from ..run_ort import OrtRunner
from ..sdk_errors import translate_sdk_error
from .cuda_bindings import open_cuda
from .cuda_calls import Cuda, NoGpuError
from .engine import Engine, InferenceStream
from .sdk import MODULES, check_plan, load_sdk

_STREAMS = 2  # one computes while the other copies


@functools.cache
def cannot_run(sdk: str | None = None) -> str | None:
    """Why this machine cannot run engines (of an SDK); None if it can."""
    wanted = list(MODULES) if sdk is None else [sdk]
    if not any(available(MODULES[name]) for name in wanted):
        return f"{' nor '.join(MODULES[name] for name in wanted)} not installed"
    try:
        open_cuda().close()
    except NoGpuError as error:
        return error.reason
    except (MissingDependencyError, ValueError, MemoryError) as error:
        return one_line(error)
    return None


def gpu_name() -> str:
    """The GPU of this machine with its compute capability.

    Raises:
        MissingDependencyError: there is no GPU.
    """
    cuda = open_cuda()
    try:
        return str(cuda.gpu())
    finally:
        cuda.close()


@runtime("tensorrt", formats=(".plan", ".engine"), module="tensorrt_rtx", extra="tensorrt-rtx")
class TrtRunner(Runner):
    """One engine on GPU 0. The arithmetic is replayed from a CUDA graph from the third run on.

    ``gpu_ms`` is the last picture's time between two events around the arithmetic; `infer` also
    takes the input and output conversion and the copies.
    """

    devices: ClassVar[tuple[str, ...]] = ("cuda",)
    hints: ClassVar[tuple[str, ...]] = ("latency", "throughput")

    @classmethod
    def cannot_run(cls) -> str | None:
        """See `Runner.cannot_run`."""
        return cannot_run()

    @property
    def precision(self) -> str:
        """The precision that the engine was exported with."""
        stored = self.manifest.target.rpartition("-")[2]
        return "int8, fp16 where the recipe keeps float" if stored == "int8" else stored

    @property
    def gpu_ms(self) -> float | None:
        """See `Runner.gpu_ms`."""
        return self._streams[0].gpu_ms

    @property
    def device_memory_bytes(self) -> int | None:
        """See `Runner.device_memory_bytes`."""
        return self._memory_bytes

    @property
    def in_flight(self) -> int:
        """See `Runner.in_flight`; the same whatever the hint."""
        return _STREAMS

    def describe(self) -> str:
        """The GPU, precision, and whether a graph is replayed."""
        refused = self._streams[0].graph_error
        graph = "CUDA graph" if refused is None else f"no CUDA graph: {refused}"
        return f"{self._gpu}, {self.precision}, {graph}, {self._cuda.package}"

    def _open(self) -> None:
        sdk = check_plan(self.path, self.manifest)
        self._cuda: Cuda = open_cuda()
        self._gpu = self._cuda.gpu()
        self._free_bytes = self._cuda.free_bytes()
        self._memory_bytes = 0
        try:
            self._engine = Engine(self.path.read_bytes(), sdk, str(self.path))
            self._check_names(load_sdk(sdk))
            self._streams = [self._new_stream()]
        except BaseException:
            self._cuda.close()
            raise

    def _check_names(self, module: object) -> None:
        modes = getattr(module, "TensorIOMode")  # noqa: B009 - an attribute of the SDK
        spec = self.manifest
        found = [*self._engine.names(modes.INPUT), *self._engine.names(modes.OUTPUT)]
        if found != [spec.input.name, spec.output.name]:
            raise ValueError(
                f"{self.path}: inputs and outputs {found}, its manifest says "
                f"{[spec.input.name, spec.output.name]}"
            )

    def _new_stream(self) -> InferenceStream:
        spec = self.manifest
        return InferenceStream(self._engine, self._cuda, spec.input, spec.output, str(self.path))

    def _infer(self, image: np.ndarray) -> np.ndarray:
        stream = self._streams[0]
        self._submit(stream, image)
        return self._answer(stream)

    def _submit(self, stream: InferenceStream, image: np.ndarray) -> None:
        stream.submit(to_io_format(image, self.manifest.input))
        self._memory_bytes = max(self._memory_bytes, self._free_bytes - self._cuda.free_bytes())

    def _answer(self, stream: InferenceStream) -> np.ndarray:
        # Always a copy: the next picture overwrites the stream's buffer.
        return np.array(from_io_format(stream.collect(), self.manifest.output))

    def infer_many(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Runner.infer_many`; two pictures are in flight, whatever the hint."""
        while len(self._streams) < _STREAMS:
            self._streams.append(self._new_stream())
        idle, busy = deque(self._streams), deque[tuple[InferenceStream, np.ndarray]]()
        try:
            for image in images:
                self._check_input(image)
                if not idle:
                    stream, earlier = busy.popleft()
                    idle.append(stream)
                    yield self._checked(stream, earlier)
                stream = idle.popleft()
                self._submit(stream, image)
                busy.append((stream, image))
            while busy:
                yield self._checked(*busy.popleft())
        finally:
            for stream, _ in busy:
                stream.collect()

    def _checked(self, stream: InferenceStream, image: np.ndarray) -> np.ndarray:
        try:
            result = self._answer(stream)
        except Exception as error:
            raise (translate_sdk_error(error, str(self.path)) or error) from error
        self._check_output(result, image)
        return result

    def _close(self) -> None:
        for stream in self._streams:
            stream.close()
        del self._engine
        self._cuda.close()


class TypedGraphRunner(OrtRunner):
    """The ONNX graph that an engine is built from, in onnxruntime on the CPU.

    Q/DQ pairs round as the engine's do. What is typed float16 is stored so and computed in
    float32, so its results lack the rounding between operations.
    """

    def __init__(self, data: bytes, manifest: Manifest, *, threads: int) -> None:
        self._data = data
        super().__init__(Path("typed.onnx"), manifest, threads=threads, device="cpu")

    @property
    def precision(self) -> str:
        """The stored types, and the arithmetic."""
        stored = self.manifest.target.rpartition("-")[2]
        return {"fp32": "fp32", "fp16": "fp16 weights, fp32 arithmetic"}.get(
            stored, "int8 Q/DQ pairs and fp16 weights, fp32 arithmetic"
        )

    def _model(self) -> bytes:
        return self._data

    def _infer(self, image: np.ndarray) -> np.ndarray:
        output = super()._infer(to_io_format(image, self.manifest.input))
        return from_io_format(output, self.manifest.output)
