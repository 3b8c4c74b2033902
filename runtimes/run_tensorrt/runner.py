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
from ..console import one_line
from ..io_format import from_io_format, to_io_format
from ..optional import MissingDependencyError, available
from ..registry import runtime
from ..run_ort import OrtRunner
from ..sdk_errors import translate_sdk_error
from .cuda_bindings import open_cuda
from .cuda_calls import Cuda, NoGpuError
from .engine import Engine, Lane
from .sdk import MODULES, check_plan, load_sdk

_LANES = 2  # one computes while the other's pictures cross the bus


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
        MissingDependencyError: there is none.
    """
    cuda = open_cuda()
    try:
        return str(cuda.gpu())
    finally:
        cuda.close()


@runtime("tensorrt", formats=(".plan", ".engine"), module="tensorrt_rtx", extra="trt")
class TrtRunner(Runner):
    """One engine on GPU 0. The arithmetic is replayed from a CUDA graph from the third run on.

    ``gpu_ms`` is the last picture's time between two events around the arithmetic alone; what
    `infer` takes as a whole is more by the conversion at the border and the copies.
    """

    devices: ClassVar[tuple[str, ...]] = ("cuda",)
    hints: ClassVar[tuple[str, ...]] = ("latency", "throughput")

    @classmethod
    def cannot_run(cls) -> str | None:
        """See `Runner.cannot_run`."""
        return cannot_run()

    @property
    def precision(self) -> str:
        """What the engine was typed as."""
        stored = self.manifest.target.rpartition("-")[2]
        return "int8, fp16 where the recipe keeps float" if stored == "int8" else stored

    @property
    def gpu_ms(self) -> float | None:
        """See `Runner.gpu_ms`."""
        return self._lanes[0].gpu_ms

    @property
    def device_memory_bytes(self) -> int | None:
        """See `Runner.device_memory_bytes`."""
        return self._memory_bytes

    def describe(self) -> str:
        """The GPU, precision, and whether a graph is replayed."""
        refused = self._lanes[0].graph_refused
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
            self._lanes = [self._lane()]
        except BaseException:
            self._cuda.close()
            raise

    def _check_names(self, module: object) -> None:
        modes = getattr(module, "TensorIOMode")  # noqa: B009 - an attribute of the SDK
        spec = self.manifest
        found = [*self._engine.names(modes.INPUT), *self._engine.names(modes.OUTPUT)]
        if found != [spec.input.name, spec.output.name]:
            raise ValueError(
                f"{self.path}: takes and gives {found}, its manifest says "
                f"{[spec.input.name, spec.output.name]}"
            )

    def _lane(self) -> Lane:
        spec = self.manifest
        return Lane(self._engine, self._cuda, spec.input, spec.output, str(self.path))

    def _infer(self, image: np.ndarray) -> np.ndarray:
        lane = self._lanes[0]
        self._submit(lane, image)
        return self._answer(lane)

    def _submit(self, lane: Lane, image: np.ndarray) -> None:
        lane.submit(to_io_format(image, self.manifest.input))
        self._memory_bytes = max(self._memory_bytes, self._free_bytes - self._cuda.free_bytes())

    def _answer(self, lane: Lane) -> np.ndarray:
        # A copy in any case: the lane's buffer is filled anew by its next picture.
        return np.array(from_io_format(lane.collect(), self.manifest.output))

    def infer_many(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Runner.infer_many`; two pictures are on their way at once, whatever the hint."""
        while len(self._lanes) < _LANES:
            self._lanes.append(self._lane())
        idle, busy = deque(self._lanes), deque[tuple[Lane, np.ndarray]]()
        try:
            for image in images:
                self._check_input(image)
                if not idle:
                    lane, earlier = busy.popleft()
                    idle.append(lane)
                    yield self._checked(lane, earlier)
                lane = idle.popleft()
                self._submit(lane, image)
                busy.append((lane, image))
            while busy:
                yield self._checked(*busy.popleft())
        finally:
            for lane, _ in busy:
                lane.collect()

    def _checked(self, lane: Lane, image: np.ndarray) -> np.ndarray:
        try:
            result = self._answer(lane)
        except Exception as error:
            raise (translate_sdk_error(error, str(self.path)) or error) from error
        self._check_output(result, image)
        return result

    def _close(self) -> None:
        for lane in self._lanes:
            lane.close()
        del self._engine
        self._cuda.close()


class TypedGraphRunner(OrtRunner):
    """The ONNX graph that an engine is built from, in onnxruntime on the CPU.

    Q/DQ pairs round as the engine's do. What is typed float16 is stored so and computed in
    float32, so rounding between operations is not in its answers.
    """

    def __init__(self, data: bytes, manifest: Manifest, *, threads: int) -> None:
        self._data = data
        super().__init__(Path("typed.onnx"), manifest, threads=threads, device="cpu")

    @property
    def precision(self) -> str:
        """What is rounded, and what it is computed in."""
        stored = self.manifest.target.rpartition("-")[2]
        return {"fp32": "fp32", "fp16": "fp16 weights, fp32 arithmetic"}.get(
            stored, "int8 Q/DQ pairs and fp16 weights, fp32 arithmetic"
        )

    def _model(self) -> bytes:
        return self._data

    def _infer(self, image: np.ndarray) -> np.ndarray:
        answer = super()._infer(to_io_format(image, self.manifest.input))
        return from_io_format(answer, self.manifest.output)
