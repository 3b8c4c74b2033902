"""What is known of a clip before its frames are read, and one frame of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np


class BrokenClipError(ValueError):
    """A clip that cannot be read on; the frames before are good."""


@dataclass(frozen=True)
class Colour:
    """How RGB and the YUV of a clip are converted, and how the clip is tagged.

    Attributes:
        matrix: ``1`` BT.709, ``5`` BT.601, ``9`` BT.2020: swscale's numbers.
        full: Luma goes from 0 to the largest code, not from 16/256 to 235/256 of it.
        space: The clip's own tag of the matrix, as FFmpeg numbers it; 2 is "not said".
        primaries: Its tag of the primaries.
        transfer: Its tag of the transfer curve.
        range: Its tag of the range: 0 not said, 1 limited, 2 full.
    """

    matrix: int
    full: bool
    space: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0


@dataclass(frozen=True)
class Clip:
    """What a run must know of its input.

    Attributes:
        path: The file, or the pattern of an image sequence.
        height: Rows of the frames as stored, before rotation.
        width: Columns of the frames as stored.
        bits: Bits a channel.
        format: FFmpeg's name of the pixel format.
        colour: See `Colour`.
        time_base: Seconds of one unit of time stamps.
        rate: Average frames a second.
        start_pts: Time stamp of the first frame, in units of ``time_base``.
        frames: Number of frames, or an estimate; None if the file does not say.
        end_s: When the file says that its frames end, in seconds of its time stamps; None if it
            does not say so.
        rotation: Degrees by which players turn the frames counter-clockwise.
        aspect: Width to height of one pixel.
        remarks: What the user should know, one line each.
    """

    path: Path
    height: int
    width: int
    bits: int
    format: str
    colour: Colour
    time_base: Fraction
    rate: Fraction
    start_pts: int = 0
    frames: int | None = None
    end_s: float | None = None
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    remarks: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """Time between two frames at the average rate, at least 1 unit of ``time_base``."""
        return max(1, round(1 / (self.rate * self.time_base)))


@dataclass(frozen=True)
class Frame:
    """One frame: uint8 or uint16 (H, W, 3), RGB; time in units of the clip's ``time_base``."""

    pixels: np.ndarray
    pts: int
    duration: int


@dataclass(frozen=True)
class Part:
    """Which part of a clip is wanted, in seconds after its first frame; None for no limit."""

    start_s: float | None = None
    end_s: float | None = None

    def first_pts(self, clip: Clip) -> int:
        """Frames from this time stamp on are wanted."""
        if self.start_s is None:
            return clip.start_pts
        return clip.start_pts + round(Fraction(self.start_s) / clip.time_base)

    def stop_pts(self, clip: Clip) -> int | None:
        """Frames before this time stamp are wanted; None: all."""
        if self.end_s is None:
            return None
        return clip.start_pts + round(Fraction(self.end_s) / clip.time_base)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.start_s is None and self.end_s is None


def upright(pixels: np.ndarray, rotation: int) -> np.ndarray:
    """A frame as players show it; ``rotation`` is `Clip.rotation`, in quarter turns."""
    return np.ascontiguousarray(np.rot90(pixels, round(rotation / 90)))
