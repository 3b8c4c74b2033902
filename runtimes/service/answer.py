"""From the bytes of a picture to the bytes of its answer, by the road that ``deblur-run`` takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base import Runner
from ..machine import share_cores
from ..pictures.batch import Settings as BatchSettings
from ..pictures.batch import deblur_encoded
from ..pictures.decode import PictureError, TooManyPixelsError
from ..registry import open_runner
from .settings import ENDINGS, MEDIA_TYPES, Answer, Ask, Refusal, Settings

# A progressive JPEG may repeat its pixels in any number of scans, each of which takes a decoder as
# long as the whole picture; encoders write about ten. libjpeg's own tools have the same guard.
MOST_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
_NAME = "picture"  # what messages call it


class AbandonedError(RuntimeError):
    """Nobody waits for the picture any more."""


def format_of_bytes(data: bytes) -> str | None:
    """``JPEG``, ``PNG`` or ``WEBP`` by the first bytes; None for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None


class Worker:
    """An open runner that answers from several threads at once; one of them infers at a time."""

    def __init__(self, settings: Settings, runner: Runner) -> None:
        """Take over an open runner."""
        self._settings = settings
        self._lock = threading.Lock()
        self.runner = runner

    def answer(
        self, data: bytes, ask: Ask, abandoned: Callable[[], bool] = lambda: False
    ) -> Answer | Refusal:
        """Decode, deblur and encode one picture.

        Args:
            data: The body of a request.
            ask: What it wants.
            abandoned: Asked before each tile; True ends the work.

        Returns:
            The picture, or what is wrong with the body.

        Raises:
            AbandonedError: ``abandoned`` said so.
            Exception: a fault of ours or of the machine.
        """
        kind = format_of_bytes(data)
        if kind is None:
            return Refusal(415, "the body is not a JPEG, PNG or WebP picture")
        if kind == "JPEG" and data.count(_START_OF_SCAN) > MOST_SCANS:
            return Refusal(422, f"a JPEG with more than {MOST_SCANS} scans; save it again")
        begin = time.perf_counter()
        wanted = ask.format or kind
        settings = self._settings
        infer = _Infer(self.runner, self._lock, abandoned)
        try:
            sharp = deblur_encoded(
                self.runner,
                data,
                BatchSettings(settings.options, ask.quality or settings.quality),
                name=_NAME,
                target=Path(_NAME + ENDINGS[wanted]),
                infer=infer,
                max_pixels=settings.limits.pixels,
            )
        except TooManyPixelsError:
            megapixels = settings.limits.pixels / 1e6
            return Refusal(413, f"the picture has more than {megapixels:g} megapixels")
        except PictureError as error:
            return Refusal(422, _of_picture(error))
        except ValueError as error:
            if infer.failed:
                raise
            return Refusal(422, str(error))  # what the format cannot hold
        return Answer(
            body=sharp.encoded[0],
            media_type=MEDIA_TYPES[wanted],
            height=sharp.height,
            width=sharp.width,
            tiles=sharp.tiles,
            decode_s=sharp.decode_ms / 1e3,
            infer_s=infer.seconds,
            total_s=time.perf_counter() - begin - infer.waited_s,
        )

    def close(self) -> None:
        """Release the runner once nothing infers."""
        with self._lock:
            self.runner.close()


def open_worker(settings: Settings) -> Worker:
    """Open the artifact, and infer once, so that the first picture is as fast as the rest.

    Raises:
        FileNotFoundError, ValueError, MissingDependencyError: as `open_runner`.
    """
    if settings.most_replicas > 1:
        share_cores()
    runner = open_runner(settings.artifact, threads=settings.threads, device=settings.device)
    multiple = runner.manifest.size_multiple
    smallest = max(runner.manifest.smallest_side or 0, 2 * multiple)
    height, width = runner.size or (smallest, smallest)
    runner.infer(np.zeros((1, 3, height, width), np.float32))
    return Worker(settings, runner)


def _of_picture(error: PictureError) -> str:
    """The text for a client; what a decoder itself said may name objects in memory."""
    if error.__cause__ is not None:
        return "the picture is damaged or cut off"
    return str(error)


class _Infer:
    """`Runner.infer` for one picture among several threads; times its calls."""

    def __init__(self, runner: Runner, lock: threading.Lock, abandoned: Callable[[], bool]) -> None:
        self._runner = runner
        self._lock = lock
        self._abandoned = abandoned
        self.seconds = 0.0
        self.waited_s = 0.0
        self.failed = False  # whether the last call raised, which is no fault of the picture

    def __call__(self, image: np.ndarray) -> np.ndarray:
        asked = time.perf_counter()
        with self._lock:
            if self._abandoned():
                raise AbandonedError
            begin = time.perf_counter()
            self.failed = True
            result = self._runner.infer(image)
            self.failed = False
            if self._runner.reuses_output:
                result = result.copy()  # before another picture's tile is written into it
        end = time.perf_counter()
        self.waited_s += begin - asked
        self.seconds += end - begin
        return result
