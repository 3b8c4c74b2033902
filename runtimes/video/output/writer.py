"""Where deblurred frames go: a clip in segments that are joined at the end, or pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...files import check_absent, check_writable
from ...pictures.batch import SEPARATOR_PX
from ..clip import Clip, Frame, Part, upright
from ..sequence import lost_in_pictures, numbered, write_numbered
from .codecs import Coding, check_coding, output_format
from .encoder import SegmentEncoder
from .join import Joined, join
from .segments import SegmentFolder


@dataclass(frozen=True)
class Output:
    """What is written.

    Attributes:
        target: A clip, or the pattern of an image sequence.
        coding: How a clip is encoded.
        side_by_side: Before on the left, after on the right.
        quality: Of JPEG and WebP pictures, 1 to 100.
        force: Existing files may be overwritten.
        resume: Go on after what an earlier run finished.
    """

    target: Path
    coding: Coding = field(default_factory=Coding)
    side_by_side: bool = False
    quality: int = 95
    force: bool = False
    resume: bool = False


class Writer(Protocol):
    """Takes frames in order.

    Attributes:
        done: Frames that an earlier run finished.
        kept: After `finish`: frames that are finished, those of earlier runs too.
        after_pts: Time stamp of the last of them; None for none, or if only their number is known.
        remarks: What is lost, one line each.
    """

    done: int
    kept: int
    after_pts: int | None
    remarks: list[str]

    def write(self, frame: Frame, sharp: np.ndarray) -> None:
        """Write one frame; OSError or ValueError if that fails."""
        ...

    def finish(self, *, complete: bool) -> Path | None:
        """End the output; returns what can be played, or None if no frame was finished."""
        ...


class ClipWriter:
    """Encodes segments, and joins them with the input's sound into the output.

    An output that is not complete is joined under another name, ``NAME.partial.mp4``, and its
    segments are kept.

    Args:
        clip: The input.
        part: The part of it that is wanted.
        output: See `Output`.
        asked: What the run is about; see `SegmentFolder.begin`.
        source: File whose sound and tags are copied; None for image sequences.

    Raises:
        FileExistsError: the output, or an unfinished run of it, is there.
        OSError: its folder cannot be written.
        ValueError: the codec or container cannot hold it.
    """

    def __init__(
        self, clip: Clip, part: Part, output: Output, asked: dict[str, Any], source: Path | None
    ) -> None:
        self._clip, self._part, self._output, self._source = clip, part, output, source
        check_coding(output.coding, output.target.suffix.lower())
        check_writable(output.target, force=output.force)
        size = frame_size(clip, side_by_side=output.side_by_side)
        pixel_format, self.remarks = output_format(clip, size, output.coding)
        self._folder = SegmentFolder(output.target)
        self._folder.begin(asked, resume=output.resume, force=output.force)
        self.done, self.kept, self.after_pts, number = 0, 0, None, 0
        for segment in self._folder.finished():
            number += 1
            self.done += len(segment.pts)
            self.after_pts = max(segment.pts)
        self._last_end_pts: int | None = self.after_pts
        self._encoder = SegmentEncoder(
            self._folder,
            clip,
            size,
            pixel_format,
            output.coding,
            number=number,
        )

    def write(self, frame: Frame, sharp: np.ndarray) -> None:
        """See `Writer`."""
        pixels = side_by_side(frame.pixels, sharp, self._clip) if self._beside else sharp
        self._encoder.write(pixels, frame.pts, frame.duration)
        self._last_end_pts = frame.pts + frame.duration

    def finish(self, *, complete: bool) -> Path | None:
        """See `Writer`."""
        try:
            self._encoder.close()
        except BaseException:
            self._encoder.abandon()
            if complete:
                raise
        self.kept = sum(len(segment.pts) for segment in self._folder.finished())
        if not self.kept:
            self._folder.remove()
            if not complete:
                return None
            raise ValueError(f"{self._clip.path}: no frames in this part; check --start and --end")
        partial = self._output.target.with_name(
            f"{self._output.target.stem}.partial{self._output.target.suffix}"
        )
        target = self._output.target if complete else partial
        self.remarks += join(self._joined(complete=complete), target)
        if complete:
            self._folder.remove()
            partial.unlink(missing_ok=True)
        return target

    @property
    def _beside(self) -> bool:
        return self._output.side_by_side

    def _joined(self, *, complete: bool) -> Joined:
        clip, part = self._clip, self._part
        begin_s = None
        if part.start_s is not None:
            begin_s = min(next(self._folder.finished()).pts) * clip.time_base
        end_s: Fraction | None = None
        stop = part.stop_pts(clip)
        if not complete and self._last_end_pts is not None:
            end_s = self._last_end_pts * clip.time_base
        elif stop is not None:
            end_s = stop * clip.time_base
        rotation = 0 if self._beside else clip.rotation
        codec = self._output.coding.codec
        return Joined(clip, self._folder, codec, self._source, begin_s, end_s, rotation)


class SequenceWriter:
    """Writes numbered pictures, upright.

    Args:
        clip: The input.
        output: See `Output`; its folder is made if need be.
        asked: What the run is about; see `SegmentFolder.begin`.
        first_number: Number of the first picture.

    Raises:
        FileExistsError: the first picture, or an unfinished run, is there.
        OSError: the folder cannot be written.
    """

    def __init__(
        self, clip: Clip, output: Output, asked: dict[str, Any], first_number: int
    ) -> None:
        self._clip, self._output, self._number = clip, output, first_number
        self._first_number = first_number
        self._folder = SegmentFolder(output.target)
        resumes = output.resume and self._folder.folder.exists()
        first = numbered(output.target, first_number)
        check_writable(first, force=output.force or resumes)
        self._folder.begin(asked, resume=output.resume, force=output.force)
        self.after_pts: int | None = None
        self.done = self.kept = 0
        while resumes and numbered(output.target, self._number).exists():
            self.done += 1
            self._number += 1
        if not output.force:
            check_absent(numbered(output.target, self._number), force=False)
        kind = np.uint8 if clip.bits <= 8 else np.uint16
        self.remarks = lost_in_pictures(output.target, np.zeros((1, 1, 3), kind))
        self._begun = first

    def write(self, frame: Frame, sharp: np.ndarray) -> None:
        """See `Writer`."""
        if self._output.side_by_side:
            pixels = side_by_side(frame.pixels, sharp, self._clip)
        else:
            pixels = upright(sharp, self._clip.rotation)
        write_numbered(self._output.target, self._number, pixels, self._output.quality)
        self._number += 1

    def finish(self, *, complete: bool) -> Path | None:
        """See `Writer`."""
        self.kept = self._number - self._first_number
        if complete:
            self._folder.remove()
        if not self._begun.exists():
            if complete:
                path = self._clip.path
                raise ValueError(f"{path}: no frames in this part; check --start and --end")
            self._folder.remove()
            return None
        return self._output.target


def frame_size(clip: Clip, *, side_by_side: bool) -> tuple[int, int]:
    """(height, width) of the written frames."""
    if not side_by_side:
        return clip.height, clip.width
    turned = round(clip.rotation / 90) % 2 == 1
    height, width = (clip.width, clip.height) if turned else (clip.height, clip.width)
    return height, 2 * width + SEPARATOR_PX


def side_by_side(before: np.ndarray, after: np.ndarray, clip: Clip) -> np.ndarray:
    """Both frames upright, before on the left, with a white line between."""
    left, right = upright(before, clip.rotation), upright(after, clip.rotation)
    line = np.full((left.shape[0], SEPARATOR_PX, 3), np.iinfo(left.dtype).max, left.dtype)
    return np.concatenate([left, line, right], axis=1)
