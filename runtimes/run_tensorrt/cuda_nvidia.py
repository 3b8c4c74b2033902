"""`Cuda` over cuda-python, NVIDIA's own bindings of the CUDA runtime."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ..optional import require
from .cuda_calls import Gpu, Handle, NoGpuError


class CudaPython:
    """NVIDIA's own bindings of the CUDA runtime."""

    package = "cuda-python"
    has_graphs = True

    def __init__(self) -> None:
        self._rt = require("cuda.bindings.runtime", extra="tensorrt-rtx")
        error, count = self._rt.cudaGetDeviceCount()
        if int(error) != 0 or not count:
            raise NoGpuError(self._no_gpu_reason(error))
        self._pinned: list[int] = []
        self._device: set[int] = set()
        self._streams: list[Handle] = []
        self._events: list[Handle] = []
        self._graphs: list[tuple[Handle, Handle]] = []

    def _no_gpu_reason(self, error: Any) -> str:  # noqa: ANN401 - an enumeration of the package
        version = self._rt.cudaDriverGetVersion()[1]
        if not version:
            return "no CUDA driver"
        if int(error) == int(self._rt.cudaError_t.cudaErrorInsufficientDriver):
            wanted = self._rt.cudaRuntimeGetVersion()[1]
            return (
                f"only a driver for CUDA {_dotted(version)}, older than cuda-python's CUDA "
                f"{_dotted(wanted)} (pip install 'cuda-python<{wanted // 1000}')"
            )
        return f"none that CUDA can use ({self._error_text(error)})" if int(error) else "none"

    def _error_text(self, error: Any) -> str:  # noqa: ANN401 - an enumeration of the package
        return self._rt.cudaGetErrorString(error)[1].decode()

    def _check(self, result: tuple[Any, ...], what: str) -> Any:  # noqa: ANN401
        error, *values = result
        if int(error) == int(self._rt.cudaError_t.cudaErrorMemoryAllocation):
            raise MemoryError(
                f"CUDA: {self._error_text(error)} ({what}); close other programs on the GPU, or "
                "use a smaller --size"
            )
        if int(error) != 0:
            raise ValueError(f"CUDA: {self._error_text(error)} ({what})")
        return values[0] if values else None

    def gpu(self) -> Gpu:
        """See `Cuda`."""
        found = self._check(self._rt.cudaGetDeviceProperties(0), "asking for the GPU")
        return Gpu(found.name.split(b"\0")[0].decode(), (int(found.major), int(found.minor)))

    def free_bytes(self) -> int:
        """See `Cuda`."""
        error, free, _total = self._rt.cudaMemGetInfo()
        return int(self._check((error, free), "asking for memory"))

    def stream(self) -> Handle:
        """See `Cuda`."""
        flag = self._rt.cudaStreamNonBlocking
        stream = self._check(self._rt.cudaStreamCreateWithFlags(flag), "making a stream")
        self._streams.append(stream)
        return stream

    def address(self, stream: Handle) -> int:
        """See `Cuda`."""
        return int(stream)

    def allocate(self, nbytes: int) -> int:
        """See `Cuda`."""
        address = int(self._check(self._rt.cudaMalloc(nbytes), f"{nbytes} bytes on the GPU"))
        self._device.add(address)
        return address

    def release(self, address: int) -> None:
        """See `Cuda`."""
        self._device.discard(address)
        self._check(self._rt.cudaFree(address), "freeing memory")

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """See `Cuda`."""
        nbytes = int(np.prod(shape)) * dtype.itemsize
        result = self._rt.cudaMallocHost(nbytes)
        address = int(self._check(result, f"{nbytes} bytes of pinned memory"))
        self._pinned.append(address)
        block = (ctypes.c_uint8 * nbytes).from_address(address)
        return np.ctypeslib.as_array(block).view(dtype).reshape(shape)

    def unpin(self, array: np.ndarray) -> None:
        """See `Cuda`."""
        self._pinned.remove(array.ctypes.data)
        self._check(self._rt.cudaFreeHost(array.ctypes.data), "freeing pinned memory")

    def upload(self, target: int, source: np.ndarray, stream: Handle) -> None:
        """See `Cuda`."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(target, source.ctypes.data, source.nbytes, kind, stream)

    def download(self, target: np.ndarray, source: int, stream: Handle) -> None:
        """See `Cuda`."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(target.ctypes.data, source, target.nbytes, kind, stream)

    def _copy(self, target: int, source: int, nbytes: int, kind: Any, stream: Handle) -> None:  # noqa: ANN401
        self._check(self._rt.cudaMemcpyAsync(target, source, nbytes, kind, stream), "copying")

    def event(self) -> Handle:
        """See `Cuda`."""
        event = self._check(self._rt.cudaEventCreate(), "making an event")
        self._events.append(event)
        return event

    def record(self, event: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        self._check(self._rt.cudaEventRecord(event, stream), "recording an event")

    def elapsed_ms(self, start: Handle, stop: Handle) -> float:
        """See `Cuda`."""
        return float(self._check(self._rt.cudaEventElapsedTime(start, stop), "reading a time"))

    def wait(self, stream: Handle) -> None:
        """See `Cuda`."""
        self._check(self._rt.cudaStreamSynchronize(stream), "running the engine")

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:
        """See `Cuda`."""
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check(self._rt.cudaStreamBeginCapture(stream, mode), "starting a graph")
        try:
            work()
        finally:
            ended = self._rt.cudaStreamEndCapture(stream)
        graph = self._check(ended, "recording a graph")
        ready = self._check(self._rt.cudaGraphInstantiate(graph, 0), "making a graph")
        self._graphs.append((ready, graph))
        return ready

    def launch(self, graph: Handle, stream: Handle) -> None:
        """See `Cuda`."""
        self._check(self._rt.cudaGraphLaunch(graph, stream), "launching a graph")

    def close(self) -> None:
        """See `Cuda`; errors are ignored."""
        rt = self._rt
        for ready, graph in self._graphs:
            rt.cudaGraphExecDestroy(ready)
            rt.cudaGraphDestroy(graph)
        for event in self._events:
            rt.cudaEventDestroy(event)
        for stream in self._streams:
            rt.cudaStreamDestroy(stream)
        for address in self._device:
            rt.cudaFree(address)
        for address in self._pinned:
            rt.cudaFreeHost(address)
        self._graphs, self._events, self._streams, self._pinned = [], [], [], []
        self._device = set()


def _dotted(version: int) -> str:
    """13010 -> 13.1, as CUDA counts."""
    return f"{version // 1000}.{version % 1000 // 10}"
