"""Reads clips with FFmpeg: what they are, and their frames in order of time."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from .clip import BrokenClipError, Clip, Frame, Part
from .colour import Converter, colour_of
from .errors import explained, load_av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".wmv", ".flv", ".3gp", ".ogv", ".mxf", ".nut",
)  # fmt: skip
_COPY_AGAIN = "copy the file again"
# A file whose frames end this much before what it declares was cut off.
_MISSING_S = 0.5
_DEFAULT_RATE = Fraction(25)


def open_clip(path: Path) -> InputContainer:
    """Open a file with FFmpeg.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a clip, or cut off so that nothing can be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    fix = f"if it was cut off, {_COPY_AGAIN}"
    with explained(path, "FFmpeg cannot open it", fix):
        # Tags in other encodings than UTF-8 are kept as far as they go.
        return load_av().open(str(path), metadata_errors="replace")


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream of moving pictures; cover art is not one.

    Raises:
        ValueError: there is none, or its codec is not known.
    """
    cover = load_av().stream.Disposition.attached_pic
    found = [s for s in container.streams.video if not s.disposition & cover]
    if not found:
        kinds = sorted({str(stream.type) for stream in container.streams})
        raise ValueError(f"{path}: has no video stream, only {', '.join(kinds) or 'nothing'}")
    if not has_decoder(found[0]):
        raise ValueError(
            f"{path}: FFmpeg does not know the codec of its video stream; "
            "convert it to H.264 with the program that made it"
        )
    return found[0]


def has_decoder(stream: object) -> bool:
    """Whether FFmpeg knows the codec; PyAV's types do not say that the context may be missing."""
    return getattr(stream, "codec_context", None) is not None


def probe(path: Path) -> Clip:
    """What a clip is; decodes its first frame.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a clip, no video stream, an unknown codec, or no frame.
    """
    with open_clip(path) as container:
        stream = video_stream(container, path)
        first = next(_decoded(container, stream, path), None)
        if first is None:
            raise ValueError(f"{path}: holds no frames")
        rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
        time_base = stream.time_base or 1 / rate
        end_s = _declared_end_s(container, stream)
        start_pts = first.pts or 0
        frames = stream.frames or None
        if frames is None and end_s is not None:
            frames = max(1, round((end_s - float(start_pts * time_base)) * float(rate)))
        return Clip(
            path=path,
            height=first.height,
            width=first.width,
            bits=max(component.bits for component in first.format.components),
            format=first.format.name,
            colour=colour_of(first),
            time_base=time_base,
            rate=rate,
            start_pts=start_pts,
            frames=frames,
            end_s=end_s,
            rotation=int(first.rotation),
            aspect=stream.sample_aspect_ratio or Fraction(1),
            remarks=_remarks(first),
        )


def read_frames(clip: Clip, part: Part, *, after_pts: int | None = None) -> Iterator[Frame]:
    """The frames of a part of a clip.

    Args:
        clip: What `probe` found.
        part: Which part.
        after_pts: Leave out frames up to this time stamp, which an earlier run has done.

    Raises:
        BrokenClipError: damaged, cut off, or another size from some frame on; raised after the
            frames before it.
        ValueError, OSError: it cannot be opened.
    """
    first = part.first_pts(clip)
    if after_pts is not None:
        first = max(first, after_pts + 1)
    stop = part.stop_pts(clip)
    converter = Converter(clip.colour)
    with open_clip(clip.path) as container:
        stream = video_stream(container, clip.path)
        stream.thread_type = "AUTO"
        yield from _wanted(container, stream, clip, converter, first, stop)


def _wanted(
    container: InputContainer,
    stream: VideoStream,
    clip: Clip,
    converter: Converter,
    first: int,
    stop: int | None,
) -> Generator[Frame]:
    last: int | None = None
    end = clip.start_pts
    for frame in _from(container, stream, clip, first):
        pts = _rising(frame.pts, last, clip)
        if stop is not None and pts >= stop:
            return
        _check_size(frame, clip, pts)
        last, duration = pts, frame.duration or clip.step
        end = pts + duration
        if pts >= first:
            yield Frame(converter.to_rgb(frame, clip.bits), pts, duration)
    _check_end(clip, end)


def _rising(pts: int | None, last: int | None, clip: Clip) -> int:
    """The time stamp of a frame; some files lack stamps or repeat one, but encoders want them."""
    if last is None:
        return clip.start_pts if pts is None else pts
    return last + clip.step if pts is None else max(pts, last + 1)


def _from(
    container: InputContainer, stream: VideoStream, clip: Clip, first: int
) -> Iterator[VideoFrame]:
    """Decoded frames from some frame at or before ``first`` on."""
    if first <= clip.start_pts:
        yield from _decoded(container, stream, clip.path)
        return
    with explained(clip.path, "FFmpeg cannot seek in it", _COPY_AGAIN):
        container.seek(first, stream=stream, backward=True)
    frames = _decoded(container, stream, clip.path)
    found = next(frames, None)
    if found is not None and found.pts is not None and found.pts <= first:
        yield found
        yield from frames
        return
    # Seeking went too far, as it may in files without an index.
    with open_clip(clip.path) as again:
        yield from _decoded(again, video_stream(again, clip.path), clip.path)


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    av = load_av()
    frames = container.decode(stream)
    count = 0
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            raise BrokenClipError(
                f"{path}: damaged after frame {count} ({error.strerror}); {_COPY_AGAIN}"
            ) from error
        count += 1
        yield frame


def _check_size(frame: VideoFrame, clip: Clip, pts: int) -> None:
    if (frame.height, frame.width) != (clip.height, clip.width):
        raise BrokenClipError(
            f"{clip.path}: frames change from {clip.width}x{clip.height} to "
            f"{frame.width}x{frame.height} after "
            f"{float((pts - clip.start_pts) * clip.time_base):.2f} s; split it there"
        )


def _check_end(clip: Clip, end_pts: int) -> None:
    end_s = float(end_pts * clip.time_base)
    if clip.end_s is not None and end_s < clip.end_s - _MISSING_S:
        begin_s = float(clip.start_pts * clip.time_base)
        raise BrokenClipError(
            f"{clip.path}: cut off after {end_s - begin_s:.2f} of {clip.end_s - begin_s:.2f} s; "
            f"{_COPY_AGAIN}"
        )


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """When the video ends according to the file's headers; None if they do not say.

    The duration of the whole file counts only if nothing but the video can have it: sound may be
    longer.
    """
    base = stream.time_base
    if stream.duration and base:
        return float((stream.duration + (stream.start_time or 0)) * base)
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is not None:
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    if container.duration and len(container.streams) == 1:
        return (container.duration + (container.start_time or 0)) / 1e6
    return None


def _remarks(frame: VideoFrame) -> tuple[str, ...]:
    remarks: list[str] = []
    if frame.interlaced_frame:
        remarks.append("interlaced, but deblurred as if it were not; deinterlace it first")
    if any(component.is_alpha for component in frame.format.components):
        remarks.append("transparency is dropped")
    return tuple(remarks)
