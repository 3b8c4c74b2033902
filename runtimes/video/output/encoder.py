"""Encodes frames into segments: one encoder after another, each file complete when closed."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..clip import Clip
from ..colour import Converter
from ..errors import explained, load_av
from .codecs import CODECS, Coding, encoder_options
from .segments import SegmentFolder

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SEGMENT_FRAMES = 120  # so many are lost at most when a run is killed


class SegmentEncoder:
    """Writes frames of one size in order; `close` must be called.

    Args:
        folder: Where the segments go.
        clip: Time base, colour and rate of the frames.
        size: (height, width) of the frames.
        pixel_format: FFmpeg's name of the format to encode.
        coding: See `Coding`.
        number: Number of the first segment.
    """

    def __init__(
        self,
        folder: SegmentFolder,
        clip: Clip,
        size: tuple[int, int],
        pixel_format: str,
        coding: Coding,
        *,
        number: int,
    ) -> None:
        self._folder = folder
        self._clip = clip
        self._size = size
        self._pixel_format = pixel_format
        self._coding = coding
        self._number = number
        self._converter = Converter(clip.colour)
        self._open: _OneSegment | None = None

    def write(self, pixels: np.ndarray, pts: int, duration: int) -> None:
        """Encode one frame.

        Raises:
            OSError: the disk is full or cannot be written.
            ValueError: the encoder refuses the frame.
        """
        file = self._folder.new(self._number)
        with explained(file, "FFmpeg cannot write it", "try another --codec"):
            if self._open is None:
                self._open = self._start(file)
            frame = self._converter.from_rgb(pixels, self._pixel_format)
            frame.pts, frame.time_base, frame.duration = pts, self._clip.time_base, duration
            self._open.write(frame, pts, duration)
            if self._open.count >= SEGMENT_FRAMES:
                self._finish()

    def close(self) -> None:
        """Finish the open segment, so that it counts.

        Raises:
            OSError, ValueError: as `write`.
        """
        if self._open is not None:
            file = self._folder.new(self._number)
            with explained(file, "FFmpeg cannot write it", "try another --codec"):
                self._finish()

    def abandon(self) -> None:
        """Release the open segment without counting it; for runs that already failed."""
        if self._open is not None:
            opened, self._open = self._open, None
            opened.abandon()

    def _finish(self) -> None:
        assert self._open is not None
        opened, self._open = self._open, None
        opened.close()
        self._folder.finish(opened.file, opened.pts, opened.coded_durations())
        self._number += 1

    def _start(self, file: Path) -> _OneSegment:
        clip, codec = self._clip, CODECS[self._coding.codec]
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it would fill standard error
        container = load_av().open(str(file), "w", format="matroska")
        stream = container.add_stream(
            codec.encoder, rate=_encoder_rate(clip), options=encoder_options(self._coding)
        )
        stream.height, stream.width = self._size
        stream.pix_fmt = self._pixel_format
        context = stream.codec_context
        context.time_base = clip.time_base
        context.sample_aspect_ratio = clip.aspect
        context.colorspace, context.color_range = clip.colour.space, clip.colour.range
        context.color_primaries, context.color_trc = clip.colour.primaries, clip.colour.transfer
        return _OneSegment(file, container, stream)


class _OneSegment:
    def __init__(self, file: Path, container: OutputContainer, stream: VideoStream) -> None:
        self.file = file
        self.pts: list[int] = []  # in the order of coding
        self.count = 0
        self._durations: dict[int, int] = {}
        self._container = container
        self._stream = stream

    def write(self, frame: VideoFrame, pts: int, duration: int) -> None:
        self._durations[pts] = duration
        self.count += 1
        self._mux(frame)

    def coded_durations(self) -> list[int]:
        return [self._durations[pts] for pts in self.pts]

    def close(self) -> None:
        self._mux(None)
        self._container.close()

    def abandon(self) -> None:
        try:
            self._container.close()
        except (OSError, ValueError, load_av().error.FFmpegError):
            return  # the fault is reported already

    def _mux(self, frame: VideoFrame | None) -> None:
        base = self._stream.codec_context.time_base
        for packet in self._stream.encode(frame):
            # The encoder may answer in a time base of its own.
            scale = (packet.time_base or base) / base
            self.pts.append(round((packet.pts or 0) * scale))
            self._container.mux(packet)


def _encoder_rate(clip: Clip) -> Fraction:
    """Encoders take rates with small terms only."""
    return clip.rate.limit_denominator(65535)
