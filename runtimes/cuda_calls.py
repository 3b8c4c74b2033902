"""The few CUDA calls that running an engine takes, over cuda-python or pycuda.

Addresses are ints, streams, events and graphs are whatever the package has; only this file looks
inside. Everything is asynchronous but `wait` and `elapsed_ms`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .optional import MissingDependencyError, available, require

Handle = Any  # a stream, event or graph of the package in use


@dataclass(frozen=True)
class Gpu:
    """Name and compute capability, such as (8, 9)."""

    name: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


class Cuda(Protocol):
    """Device 0. Methods raise MemoryError or ValueError with CUDA's own words."""

    package: str
    has_graphs: bool

    def gpu(self) -> Gpu:
        """Which GPU this is."""
        ...

    def free_bytes(self) -> int:
        """Device memory that nobody uses, whichever process."""
        ...

    def stream(self) -> Handle:
        """A new stream."""
        ...

    def address(self, stream: Handle) -> int:
        """The stream as TensorRT takes it."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Device memory."""
        ...

    def release(self, address: int) -> None:
        """Give device memory back."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Host memory that copies need not stage; it lives as long as this object."""
        ...

    def upload(self, target: int, source: np.ndarray, stream: Handle) -> None:
        """Copy host to device."""
        ...

    def download(self, target: np.ndarray, source: int, stream: Handle) -> None:
        """Copy device to host."""
        ...

    def event(self) -> Handle:
        """A new event that keeps time."""
        ...

    def record(self, event: Handle, stream: Handle) -> None:
        """Let the event happen when the stream gets there."""
        ...

    def elapsed_ms(self, start: Handle, stop: Handle) -> float:
        """Milliseconds between two events that have happened."""
        ...

    def wait(self, stream: Handle) -> None:
        """Return when the stream has done all it was given."""
        ...

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:
        """A graph of what ``work`` gives the stream, which is not run meanwhile."""
        ...

    def launch(self, graph: Handle, stream: Handle) -> None:
        """Run a graph."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def open_cuda() -> Cuda:
    """cuda-python, or pycuda where only that is installed.

    Raises:
        MissingDependencyError: neither is, or there is no driver or GPU; the message says what to
            do.
    """
    if available("cuda.bindings"):
        return CudaPython()
    if available("pycuda"):
        return PyCuda()
    raise MissingDependencyError(
        "running an engine needs cuda-python: pip install cuda-python (or pip install pycuda, "
        "which needs a CUDA toolkit)"
    )


def no_gpu(reason: str) -> MissingDependencyError:
    """The error for a machine without a usable GPU."""
    return MissingDependencyError(
        f"no usable NVIDIA GPU ({reason}); check that nvidia-smi lists one, and that the driver is "
        "new enough for this CUDA; in a container, start it with --gpus all"
    )


class CudaPython:
    """NVIDIA's own bindings of the CUDA runtime."""

    package = "cuda-python"
    has_graphs = True

    def __init__(self) -> None:
        self._rt = require("cuda.bindings.runtime", extra="trt")
        error, count = self._rt.cudaGetDeviceCount()
        if int(error) != 0 or not count:
            raise no_gpu(self._words(error) if int(error) else "CUDA finds none")
        self._pinned: list[int] = []
        self._device: set[int] = set()
        self._streams: list[Handle] = []
        self._events: list[Handle] = []
        self._graphs: list[tuple[Handle, Handle]] = []

    def _words(self, error: Any) -> str:  # noqa: ANN401 - an enumeration of the package
        return self._rt.cudaGetErrorString(error)[1].decode()

    def _do(self, result: tuple[Any, ...], what: str) -> Any:  # noqa: ANN401
        error, *values = result
        if int(error) == int(self._rt.cudaError_t.cudaErrorMemoryAllocation):
            raise MemoryError(
                f"CUDA: {self._words(error)} ({what}); close what else uses the GPU, or use a "
                "smaller --size"
            )
        if int(error) != 0:
            raise ValueError(f"CUDA: {self._words(error)} ({what})")
        return values[0] if values else None

    def gpu(self) -> Gpu:
        """See `Cuda`."""
        found = self._do(self._rt.cudaGetDeviceProperties(0), "asking for the GPU")
        return Gpu(found.name.split(b"\0")[0].decode(), (int(found.major), int(found.minor)))

    def free_bytes(self) -> int:
        """See `Cuda`."""
        error, free, _total = self._rt.cudaMemGetInfo()
        return int(self._do((error, free), "asking for memory"))

    def stream(self) -> Handle:
        """See `Cuda`."""
        flag = self._rt.cudaStreamNonBlocking
        stream = self._do(self._rt.cudaStreamCreateWithFlags(flag), "making a stream")
        self._streams.append(stream)
        return stream

    def address(self, stream: Handle) -> int:
        """See `Cuda`."""
        return int(stream)

    def allocate(self, nbytes: int) -> int:
        """See `Cuda`."""
        address = int(self._do(self._rt.cudaMalloc(nbytes), f"{nbytes} bytes on the GPU"))
        self._device.add(address)
        return address

    def release(self, address: int) -> None:
        """See `Cuda`."""
        self._device.discard(address)
        self._do(self._rt.cudaFree(address), "giving memory back")

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """See `Cuda`."""
        nbytes = int(np.prod(shape)) * dtype.itemsize
        address = int(self._do(self._rt.cudaMallocHost(nbytes), f"{nbytes} bytes of pinned memory"))
        self._pinned.append(address)
        block = (ctypes.c_uint8 * nbytes).from_address(address)
        return np.frombuffer(block, dtype).reshape(shape)

    def upload(self, target: int, source: np.ndarray, stream: Handle) -> None:
        """See `Cuda`."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(target, source.ctypes.data, source.nbytes, kind, stream)

    def download(self, target: np.ndarray, source: int, stream: Handle) -> None:
        """See `Cuda`."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(target.ctypes.data, source, target.nbytes, kind, stream)

    def _copy(self, target: int, source: int, nbytes: int, kind: Any, stream: Handle) -> None:  # noqa: ANN401
        self._do(self._rt.cudaMemcpyAsync(target, source, nbytes, kind, stream), "copying")

    def event(self) -> Handle:
        """See `Cuda`."""
        event = self._do(self._rt.cudaEventCreate(), "making an event")
        self._events.append(event)
        return event

    def record(self, event: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        self._do(self._rt.cudaEventRecord(event, stream), "recording an event")

    def elapsed_ms(self, start: Handle, stop: Handle) -> float:
        """See `Cuda`."""
        return float(self._do(self._rt.cudaEventElapsedTime(start, stop), "reading a time"))

    def wait(self, stream: Handle) -> None:
        """See `Cuda`."""
        self._do(self._rt.cudaStreamSynchronize(stream), "running the engine")

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:
        """See `Cuda`."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._do(self._rt.cudaStreamBeginCapture(stream, mode), "starting a graph")
        try:
            work()
        finally:
            ended = self._rt.cudaStreamEndCapture(stream)
        graph = self._do(ended, "recording a graph")
        ready = self._do(self._rt.cudaGraphInstantiate(graph, 0), "making a graph")
        self._graphs.append((ready, graph))
        return ready

    def launch(self, graph: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        self._do(self._rt.cudaGraphLaunch(graph, stream), "launching a graph")

    def close(self) -> None:
        """See `Cuda`; errors are past mending here."""
        rt = self._rt
        for ready, graph in self._graphs:
            rt.cudaGraphExecDestroy(ready)
            rt.cudaGraphDestroy(graph)
        for events in (self._events,):
            for event in events:
                rt.cudaEventDestroy(event)
        for stream in self._streams:
            rt.cudaStreamDestroy(stream)
        for address in self._device:
            rt.cudaFree(address)
        for address in self._pinned:
            rt.cudaFreeHost(address)
        self._graphs, self._events, self._streams, self._pinned = [], [], [], []
        self._device = set()


class PyCuda:
    """pycuda, which has no graphs."""

    package = "pycuda"
    has_graphs = False

    def __init__(self) -> None:
        self._drv = require("pycuda.driver")
        try:
            self._drv.init()
            self._gpu = self._drv.Device(0)
            # The context that TensorRT's CUDA runtime uses, too.
            self._context = self._gpu.retain_primary_context()
        except self._drv.Error as error:
            raise no_gpu(str(error)) from error
        self._context.push()
        self._device: dict[int, Any] = {}

    def gpu(self) -> Gpu:
        """See `Cuda`."""
        major, minor = self._gpu.compute_capability()
        return Gpu(self._gpu.name(), (major, minor))

    def free_bytes(self) -> int:
        """See `Cuda`."""
        return int(self._drv.mem_get_info()[0])

    def stream(self) -> Handle:
        """See `Cuda`."""
        return self._drv.Stream()

    def address(self, stream: Handle) -> int:
        """See `Cuda`."""
        return int(stream.handle)

    def allocate(self, nbytes: int) -> int:
        """See `Cuda`."""
        try:
            block = self._drv.mem_alloc(nbytes)
        except self._drv.MemoryError as error:
            raise MemoryError(
                f"CUDA: {error} ({nbytes} bytes on the GPU); close what else uses the GPU, or use "
                "a smaller --size"
            ) from error
        self._device[int(block)] = block
        return int(block)

    def release(self, address: int) -> None:
        """See `Cuda`."""
        self._device.pop(address).free()

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """See `Cuda`."""
        return self._drv.pagelocked_empty(shape, dtype)

    def upload(self, target: int, source: np.ndarray, stream: Handle) -> None:
        """See `Cuda`."""
        self._drv.memcpy_htod_async(target, source, stream)

    def download(self, target: np.ndarray, source: int, stream: Handle) -> None:
        """See `Cuda`."""
        self._drv.memcpy_dtoh_async(target, source, stream)

    def event(self) -> Handle:
        """See `Cuda`."""
        return self._drv.Event()

    def record(self, event: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        event.record(stream)

    def elapsed_ms(self, start: Handle, stop: Handle) -> float:
        """See `Cuda`."""
        return float(start.time_till(stop))

    def wait(self, stream: Handle) -> None:
        """See `Cuda`."""
        stream.synchronize()

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:
        """See `Cuda`."""
        raise ValueError("pycuda has no CUDA graphs; install cuda-python for them")

    def launch(self, graph: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        raise ValueError("pycuda has no CUDA graphs; install cuda-python for them")

    def close(self) -> None:
        """See `Cuda`."""
        for block in self._device.values():
            block.free()
        self._device = {}
        self._context.pop()
        self._context.detach()
