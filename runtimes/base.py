"""The base class of every runner: the public method checks, the private one infers.

Shapes: N = batch, C = 3 (RGB), H, W = pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np

from .artifact import Manifest, read_manifest
from .pictures.tiling import Infer, Progress, TilingOptions, deblur_picture
from .sdk_errors import translate_sdk_error


class Runner(ABC):
    """Opens one artifact and infers. Use as a context manager, or call `close`.

    A subclass writes ``_open`` and ``_infer`` (and ``_close`` if it holds something).
    ``reuses_output`` says whether `infer` may return the same buffer twice; a caller that keeps a
    result of such a runner must copy it.
    """

    reuses_output: ClassVar[bool] = False
    emulated: ClassVar[bool] = False  # True: emulates the runtime; its times mean nothing
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    hints: ClassVar[tuple[str, ...]] = ("latency",)

    def __init__(
        self, path: Path, manifest: Manifest, *, threads: int, device: str, hint: str = "latency"
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.threads = threads
        self.device = device
        self.hint = hint
        self._closed = False
        self._open()

    @classmethod
    def read_manifest(cls, path: Path) -> Manifest:
        """The manifest of an artifact; override it for files that describe themselves."""
        return read_manifest(path)

    @classmethod
    def cannot_run(cls) -> str | None:
        """Why this machine cannot run such artifacts, in a few words; None if it can."""
        return None

    @property
    def gpu_ms(self) -> float | None:
        """Milliseconds of the last `infer` on the GPU alone; None where nothing measures it."""
        return None

    @property
    def device_memory_bytes(self) -> int | None:
        """Most that the GPU's free memory fell by since opening; None where there is no GPU."""
        return None

    @property
    def in_flight(self) -> int:
        """How many batches `infer_many` works on at once."""
        return 1

    @property
    def size(self) -> tuple[int, int] | None:
        """Fixed ``(height, width)`` that `infer` takes, or None for any multiple."""
        return self.manifest.input.size

    @property
    def precision(self) -> str:
        """The arithmetic that inference runs in, as the runtime reports it."""
        return "fp32"

    def describe(self) -> str:
        """Device, threads and precision in one line, for tables and reports."""
        return f"{self.device}, {self.threads} threads, {self.precision}"

    def infer(self, image: np.ndarray) -> np.ndarray:
        """Deblur one batch.

        Args:
            image: float32 (N, 3, H, W), RGB in [-1, 1], C-contiguous; H and W are the artifact's
                size, or multiples of ``manifest.size_multiple`` where the size is free.

        Returns:
            float32 (N, 3, H, W), RGB in [-1, 1]. See ``reuses_output``.

        Raises:
            TypeError: not a float32 numpy array.
            ValueError: wrong shape or range, not finite, or the runner is closed; the SDK
                failed; or the artifact returns another shape or dtype, NaN, or values
                outside [-1, 1].
            MemoryError: the SDK ran out of memory.
        """
        self._check_input(image)
        try:
            result = self._infer(image)
        except Exception as error:
            translated = translate_sdk_error(error, str(self.path))
            if translated is None:
                raise
            raise translated from error
        self._check_output(result, image)
        return result

    def infer_many(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """`infer` for many batches, in order; several at once with the hint ``throughput``.

        Args:
            images: As for `infer`. The next arrays may be read before earlier results are
                yielded. Do not change an array until its result is yielded.

        Yields:
            float32 (N, 3, H, W) each, in memory of its own.

        Raises:
            TypeError, ValueError, MemoryError: as `infer`.
        """
        for image in images:
            result = self.infer(image)
            yield result.copy() if self.reuses_output else result

    def deblur(
        self,
        picture: np.ndarray,
        options: TilingOptions | None = None,
        progress: Progress | None = None,
        infer: Infer | None = None,
    ) -> np.ndarray:
        """Deblur a whole picture of any size: pad, tile if needed, blend, crop.

        Args:
            picture: uint8 or uint16 (H, W, 3), RGB.
            options: Padding protocol, tile and overlap; see `TilingOptions`.
            progress: Called with (tiles done, tiles in all).
            infer: What infers a tile instead of `infer`.

        Returns:
            The same shape and dtype.

        Raises:
            ValueError: wrong shape or dtype, or the options do not fit the artifact.
        """
        return deblur_picture(
            infer or self.infer,
            picture,
            size=self.size,
            multiple=self.manifest.size_multiple,
            smallest=self.manifest.smallest_side,
            receptive_radius_px=self.manifest.receptive_radius_px,
            options=options or TilingOptions(),
            progress=progress,
        )

    def close(self) -> None:
        """Release what the runner holds; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> None:
        """Load ``self.path`` for ``self.threads`` and ``self.device``."""

    @abstractmethod
    def _infer(self, image: np.ndarray) -> np.ndarray:
        """Run a checked float32 NCHW batch and return the same shape."""

    def _close(self) -> None:  # noqa: B027 - most runners hold nothing; overriding is optional
        """Release SDK objects."""

    def _check_output(self, result: np.ndarray, image: np.ndarray) -> None:
        if result.shape != image.shape:
            raise ValueError(f"{self.path}: returned shape {result.shape} for input {image.shape}")
        if result.dtype != np.float32:
            raise ValueError(f"{self.path}: returned {result.dtype}, not float32")
        low, high = float(result.min()), float(result.max())
        if low >= -1.001 and high <= 1.001:  # NaN compares false
            return
        if np.isfinite(low) and np.isfinite(high):
            raise ValueError(
                f"{self.path}: the output holds [{low:.4g}, {high:.4g}], outside [-1, 1]; "
                "do not use this file"
            )
        raise ValueError(f"{self.path}: the output holds NaN or infinity; do not use this file")

    def _check_input(self, image: np.ndarray) -> None:
        if self._closed:
            raise ValueError(f"{self.path}: the runner is closed")
        if not isinstance(image, np.ndarray) or image.dtype != np.float32:
            kind = getattr(image, "dtype", type(image).__name__)
            raise TypeError(f"infer takes a float32 numpy array, not {kind}")
        if image.ndim != 4 or image.shape[0] < 1 or image.shape[1] != 3:
            raise ValueError(f"infer takes shape (N, 3, H, W), not {image.shape}")
        batch = self.manifest.input.shape[0]
        if isinstance(batch, int) and image.shape[0] != batch:
            raise ValueError(f"{self.path} takes {batch} picture(s) at once, not {image.shape[0]}")
        height, width = image.shape[2:]
        multiple = self.manifest.size_multiple
        sizes = self.manifest.input.sizes or ((self.size,) if self.size else ())
        if sizes and (height, width) not in sizes:
            named = " or ".join(f"{rows}x{columns}" for rows, columns in sizes)
            raise ValueError(f"{self.path} takes {named} (HxW), not {height}x{width}")
        if height % multiple or width % multiple or not height or not width:
            raise ValueError(f"sides must be multiples of {multiple}, not {height}x{width}")
        smallest = self.manifest.smallest_side or multiple
        if min(height, width) < smallest:
            raise ValueError(f"sides must be {smallest} or more, not {height}x{width}")
        low, high = float(image.min()), float(image.max())
        # NaN compares false, so this refuses it too. 1e-3: room for a caller's rounding.
        if not (low >= -1.001 and high <= 1.001):
            raise ValueError(f"infer takes values in [-1, 1], not [{low:.4g}, {high:.4g}]")
