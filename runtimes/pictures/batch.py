"""Deblurs pictures one after another and measures where the time goes."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..base import Runner
from ..command_line.console import USER_ERRORS, one_line
from ..files import replacing_all
from ..sdk_errors import translate_sdk_error
from .jobs import Job
from .metadata import Picture
from .read import MAX_PIXELS, picture_from, read_bytes
from .sources import Failure
from .tiling import Infer, TilingOptions
from .write import encode_picture, lost_in_format

SEPARATOR_PX = 4


@dataclass(frozen=True)
class Done:
    """One finished picture. Times in milliseconds; sizes in pixels.

    ``infer_ms`` is the time inside the runner's ``infer``, summed over the tiles; None if the
    runner only emulates its runtime. ``overhead_ms`` is everything else: ``decode_ms`` (read and
    decode), ``convert_ms`` (pad, convert, tile, blend) and ``encode_ms`` (encode and write). The
    first picture's times include loading and initialising libraries.
    """

    job: Job
    height: int
    width: int
    bits: int
    tiles: int
    decode_ms: float
    convert_ms: float
    infer_ms: float | None
    encode_ms: float
    remarks: tuple[str, ...]

    @property
    def overhead_ms(self) -> float:
        """Time outside inference."""
        return self.decode_ms + self.convert_ms + self.encode_ms

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``deblur-run --json``."""
        side_by_side = self.job.side_by_side
        times = {
            "decode_ms": self.decode_ms,
            "convert_ms": self.convert_ms,
            "encode_ms": self.encode_ms,
            "around_ms": self.overhead_ms,
        }
        return {
            "input": str(self.job.source),
            "output": str(self.job.target),
            "side_by_side": None if side_by_side is None else str(side_by_side),
            "height": self.height,
            "width": self.width,
            "bits": self.bits,
            "tiles": self.tiles,
            "infer_ms": None if self.infer_ms is None else round(self.infer_ms, 3),
            **{name: round(time_ms, 3) for name, time_ms in times.items()},
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class Settings:
    """Settings for all pictures of a run; ``quality`` is for JPEG and WebP, 1 to 100."""

    options: TilingOptions = field(default_factory=TilingOptions)
    quality: int = 95


def run_jobs(
    runner: Runner,
    jobs: Sequence[Job],
    settings: Settings,
    *,
    report: Callable[[Done], None],
    progress: Callable[[float, float], None],
) -> list[Failure]:
    """Run every job; a picture that fails does not stop the others.

    Args:
        runner: An open runner.
        jobs: Checked by `check_jobs`.
        settings: See `Settings`.
        report: Called after each finished picture; results are not kept here, so that memory does
            not grow with their number.
        progress: Called with (done, total): tiles of a single picture, else pictures, where a
            tile counts as a fraction of its picture.

    Returns:
        The pictures that failed, in order.
    """
    failures: list[Failure] = []
    single = len(jobs) == 1
    for i, job in enumerate(jobs):

        def tiles(done: int, total: int, i: int = i) -> None:
            progress(*((done, total) if single else (i + done / total, len(jobs))))

        try:
            done = run_job(runner, job, settings, tiles)
        except Exception as error:
            user_error = (
                error
                if isinstance(error, USER_ERRORS)
                else translate_sdk_error(error, str(job.source))
            )
            if user_error is None or os.environ.get("EDGEDEBLUR_DEBUG"):
                raise
            failures.append(Failure(job.source, one_line(user_error)))
            progress(i + 1, len(jobs))
            continue
        report(done)
    return failures


def run_job(
    runner: Runner, job: Job, settings: Settings, progress: Callable[[int, int], None]
) -> Done:
    """Read, deblur and write one picture.

    Raises:
        ValueError: it cannot be read, does not fit the artifact, or the format cannot hold it.
        OSError: reading or writing failed; no partial file is left.
    """
    clock = time.perf_counter
    begin = clock()
    data = read_bytes(job.source)
    read = clock()
    sharp = deblur_encoded(
        runner,
        data,
        settings,
        name=str(job.source),
        target=job.target,
        side_by_side_target=job.side_by_side,
        progress=progress,
    )
    deblurred = clock()
    # Both get their names, or neither.
    with replacing_all(job.targets) as temporaries:
        for temporary, encoded in zip(temporaries, sharp.encoded, strict=True):
            temporary.write_bytes(encoded)
    written = clock()
    return Done(
        job=job,
        height=sharp.height,
        width=sharp.width,
        bits=sharp.bits,
        tiles=sharp.tiles,
        decode_ms=(read - begin) * 1e3 + sharp.decode_ms,
        convert_ms=sharp.convert_ms,
        infer_ms=sharp.infer_ms,
        encode_ms=(written - deblurred) * 1e3 + sharp.encode_ms,
        remarks=sharp.remarks,
    )


@dataclass(frozen=True)
class Sharp:
    """A deblurred picture as file contents: the output, then the side-by-side picture if wanted.

    Sizes in pixels, times in milliseconds as in `Done`, without reading and writing files.
    """

    encoded: tuple[bytes, ...]
    height: int
    width: int
    bits: int
    tiles: int
    decode_ms: float
    convert_ms: float
    infer_ms: float | None
    encode_ms: float
    remarks: tuple[str, ...]


def deblur_encoded(
    runner: Runner,
    data: bytes,
    settings: Settings,
    *,
    name: str,
    target: Path,
    side_by_side_target: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    infer: Infer | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Sharp:
    """Deblur one encoded picture. Every road to an output goes through here, so all agree.

    Args:
        runner: An open runner.
        data: The input file's bytes.
        settings: See `Settings`.
        name: What messages call the input.
        target: The output's name, whose ending decides its format; nothing is written.
        side_by_side_target: The same for the before-and-after picture; None for none.
        progress: Called with (tiles done, tiles in all).
        infer: What infers a tile instead of the runner's own.
        max_pixels: As for `picture_from`.

    Raises:
        ValueError: it cannot be decoded, does not fit the artifact, or the format cannot hold it.
    """
    clock = time.perf_counter
    begin = clock()
    picture = picture_from(data, name, max_pixels)
    decoded = clock()
    timed = _Stopwatch(infer or runner.infer)
    pixels = runner.deblur(picture.pixels, settings.options, progress, timed)
    deblurred = clock()
    result = dataclasses.replace(picture, pixels=pixels)
    encoded = [encode_picture(result, target, settings.quality)]
    if side_by_side_target is not None:
        encoded.append(encode_picture(side_by_side(picture, result), side_by_side_target))
    done = clock()
    infer_ms = timed.seconds * 1e3
    return Sharp(
        encoded=tuple(encoded),
        height=pixels.shape[0],
        width=pixels.shape[1],
        bits=picture.bits,
        tiles=timed.calls,
        decode_ms=(decoded - begin) * 1e3,
        convert_ms=(deblurred - decoded) * 1e3 - infer_ms,
        infer_ms=None if runner.emulated else infer_ms,
        encode_ms=(done - deblurred) * 1e3,
        remarks=_remarks(picture, target, runner, timed.calls),
    )


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Before on the left, after on the right, a white line of `SEPARATOR_PX` between; no alpha."""
    line = np.full_like(before.pixels[:, :1], np.iinfo(before.pixels.dtype).max)
    line = np.repeat(line, SEPARATOR_PX, axis=1)
    pixels = np.concatenate([before.pixels, line, after.pixels], axis=1)
    return Picture(pixels, grey=before.grey, icc=before.icc)


def _remarks(picture: Picture, target: Path, runner: Runner, tiles: int) -> tuple[str, ...]:
    remarks = [*picture.remarks, *lost_in_format(picture, target)]
    if picture.bits > 8 and runner.manifest.input.dtype == "uint8":
        remarks.append(f"the artifact's input and output have 8 bits a channel, not {picture.bits}")
    if tiles > 1 and runner.manifest.norm == "live":
        remarks.append(
            f"cut into {tiles} tiles, each with its own live statistics, so seams may show; "
            "an artifact with frozen norms has none"
        )
    return tuple(remarks)


class _Stopwatch:
    """Calls ``infer``; counts the calls and sums their time."""

    def __init__(self, infer: Infer) -> None:
        self._infer = infer
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        begin = time.perf_counter()
        result = self._infer(image)
        self.seconds += time.perf_counter() - begin
        self.calls += 1
        return result
