"""The few CUDA calls that running an engine takes, over cuda-python or pycuda.

Addresses are ints, streams, events and graphs are whatever the package has; only this file looks
inside. Everything is asynchronous but `wait` and `elapsed_ms`.
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
        """Host memory that copies need not stage."""
        ...

    def unpin(self, array: np.ndarray) -> None:
        """Give the memory of `pinned` back; nobody may read the array from then on."""
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


class NoGpuError(MissingDependencyError):
    """There is no GPU to run on; ``reason`` is why, in a few words."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"an NVIDIA GPU is needed, but there is {reason}; check that nvidia-smi lists one; in "
            "a container, start it with --gpus all"
        )
