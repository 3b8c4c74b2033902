"""`Cuda` over pycuda, for machines without cuda-python; it has no CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optional import require
from .cuda_calls import Gpu, Handle, NoGpuError


class PyCuda:
    """pycuda, which has no CUDA graphs."""

    package = "pycuda"
    has_graphs = False

    def __init__(self) -> None:
        self._drv = require("pycuda.driver", extra="pycuda")
        try:
            self._drv.init()
            self._gpu = self._drv.Device(0)
            # The context that TensorRT's CUDA runtime uses, too.
            self._context = self._gpu.retain_primary_context()
        except self._drv.Error as error:
            raise NoGpuError(f"none that CUDA can use ({error})") from error
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
                f"CUDA: {error} ({nbytes} bytes on the GPU); close other programs on the GPU, or "
                "use a smaller --size"
            ) from error
        self._device[int(block)] = block
        return int(block)

    def release(self, address: int) -> None:
        """See `Cuda`."""
        self._device.pop(address).free()

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """See `Cuda`."""
        return self._drv.pagelocked_empty(shape, dtype)

    def unpin(self, array: np.ndarray) -> None:
        """See `Cuda`; the memory goes with the last reference to the array."""

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

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:  # noqa: ARG002
        """See `Cuda`."""
        raise ValueError("pycuda has no CUDA graphs; install cuda-python for them")

    def launch(self, graph: Handle, stream: Handle) -> None:  # noqa: ARG002
        """See `Cuda`."""
        raise ValueError("pycuda has no CUDA graphs; install cuda-python for them")

    def close(self) -> None:
        """See `Cuda`."""
        for block in self._device.values():
            block.free()
        self._device = {}
        self._context.pop()
        self._context.detach()
