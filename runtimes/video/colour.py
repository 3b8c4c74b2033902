"""Converts between a clip's YUV and RGB with the right matrix, range and depth.

swscale's flags ask for exact rounding and for interpolated chroma; its default path for YUV to RGB
takes the nearest chroma sample.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from .clip import Colour
from .errors import load_av

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

BT709, BT601, BT2020 = 1, 5, 9
# FFmpeg's tags of a matrix, and swscale's matrix for them. RGB (0) has none.
_MATRICES = {1: BT709, 4: BT601, 5: BT601, 6: BT601, 9: BT2020, 10: BT2020}
_UNSPECIFIED = 2
_HD_LINES = 720  # untagged clips: BT.709 from here on, as players guess
_FULL = 2
# BICUBIC, FULL_CHR_H_INT, FULL_CHR_H_INP, ACCURATE_RND of libswscale/swscale.h, as numbers, since
# PyAV 17 does not name the last ones.
_FLAGS = 0x4 | 0x2000 | 0x4000 | 0x40000
# swscale takes 255 * 256 for white in 16 bits a channel, everybody else 65535.
_WHITE = 255 * 256


def colour_of(frame: VideoFrame) -> Colour:
    """The colour of a clip, by its first frame; untagged clips as players take them."""
    space = int(frame.colorspace)
    guess = BT709 if min(frame.width, frame.height) >= _HD_LINES else BT601
    full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
    return Colour(
        matrix=_MATRICES.get(space, guess),
        full=full,
        space=space,
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        range=int(frame.color_range),
    )


def colour_of_pictures(height: int, width: int) -> Colour:
    """The colour of a clip that is made from pictures: limited range, tagged by its size."""
    if min(height, width) >= _HD_LINES:
        return Colour(BT709, full=False, space=1, primaries=1, transfer=1, range=1)
    return Colour(BT601, full=False, space=6, primaries=6, transfer=6, range=1)


class Converter:
    """Converts frames one way; keeps swscale's tables between frames. For one thread."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour
        self._range = _FULL if colour.full else 1
        self._reformatter = load_av().video.reformatter.VideoReformatter()

    def to_rgb(self, frame: VideoFrame, bits: int) -> np.ndarray:
        """uint8 (H, W, 3) for 8 bits, else uint16 with white at 65535."""
        converted = self._reformatter.reformat(
            frame,
            format="rgb24" if bits <= 8 else "rgb48le",
            src_colorspace=self._colour.matrix,
            src_color_range=self._range,
            interpolation=_FLAGS,
            threads=1,
        )
        pixels: np.ndarray = converted.to_ndarray()
        return pixels if bits <= 8 else np.take(_from_swscale(), pixels)

    def from_rgb(self, pixels: np.ndarray, pixel_format: str) -> VideoFrame:
        """A frame in a YUV format, from uint8 or uint16 (H, W, 3)."""
        av = load_av()
        kind = "rgb24"
        if pixels.dtype == np.uint16:
            kind, pixels = "rgb48le", np.take(_to_swscale(), pixels)
        source = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
        frame = self._reformatter.reformat(
            source,
            format=pixel_format,
            dst_colorspace=self._colour.matrix,
            dst_color_range=self._range,
            interpolation=_FLAGS,
            threads=1,
        )
        frame.colorspace = self._colour.space
        frame.color_range = self._colour.range
        return frame


@functools.cache
def _to_swscale() -> np.ndarray:
    levels = np.arange(65536, dtype=np.float64)
    return np.rint(levels * (_WHITE / 65535)).astype(np.uint16)


@functools.cache
def _from_swscale() -> np.ndarray:
    levels = np.arange(65536, dtype=np.float64)
    return np.rint(np.minimum(levels * (65535 / _WHITE), 65535)).astype(np.uint16)
