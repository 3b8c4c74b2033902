"""The CUDA calls that running an engine needs, over cuda-python or pycuda.

Addresses are ints; streams, events and graphs are opaque objects of the package. All calls are
asynchronous except `wait` and `elapsed_ms`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..optional import MissingDependencyError

Handle = Any  # a stream, event or graph of the package in use


@dataclass(frozen=True)
class Gpu:
    """A GPU's name and compute capability, such as (8, 9)."""

    name: str
    capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


class Cuda(Protocol):
    """Device 0. Methods raise MemoryError or ValueError with CUDA's message."""

    package: str
    has_graphs: bool

    def gpu(self) -> Gpu:
        """Which GPU this is."""
        ...

    def free_bytes(self) -> int:
        """Free device memory, over all processes."""
        ...

    def stream(self) -> Handle:
        """A new stream."""
        ...

    def address(self, stream: Handle) -> int:
        """The stream's address, as TensorRT takes it."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Allocate device memory; returns its address."""
        ...

    def release(self, address: int) -> None:
        """Free device memory."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Allocate page-locked host memory, for asynchronous copies."""
        ...

    def unpin(self, array: np.ndarray) -> None:
        """Free the memory of `pinned`; do not read the array afterwards."""
        ...

    def upload(self, target: int, source: np.ndarray, stream: Handle) -> None:
        """Copy host to device."""
        ...

    def download(self, target: np.ndarray, source: int, stream: Handle) -> None:
        """Copy device to host."""
        ...

    def event(self) -> Handle:
        """A new timing event."""
        ...

    def record(self, event: Handle, stream: Handle) -> None:
        """Record the event in the stream."""
        ...

    def elapsed_ms(self, start: Handle, stop: Handle) -> float:
        """Milliseconds between two completed events."""
        ...

    def wait(self, stream: Handle) -> None:
        """Wait for all work in the stream."""
        ...

    def capture(self, stream: Handle, work: Callable[[], None]) -> Handle:
        """Capture what ``work`` enqueues as a graph, without running it."""
        ...

    def launch(self, graph: Handle, stream: Handle) -> None:
        """Run a graph."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class NoGpuError(MissingDependencyError):
    """No usable GPU; ``reason`` says why, in a few words."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"an NVIDIA GPU is needed, but there is {reason}; check that nvidia-smi lists one; in "
            "a container, start it with --gpus all"
        )
