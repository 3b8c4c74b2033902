"""Joins finished segments and the input's sound and subtitles into one file, without recoding."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import replacing
from ..clip import Clip
from ..errors import explained, load_av
from ..reader import open_clip
from .codecs import CODECS, CONTAINERS
from .segments import Segment, SegmentFolder

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_COPIED = ("audio", "subtitle")
# What describes the container itself, and not the film.
_OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")
_Timed = tuple[Fraction, int, "Packet[Any]"]


@dataclass(frozen=True)
class Joined:
    """What is joined.

    Attributes:
        clip: The input.
        folder: Its segments.
        codec: ``--codec`` of the segments.
        source: The file whose sound, subtitles and tags are copied; None for image sequences.
        begin_s: Start of the part in the input's time, which becomes 0; None keeps the time stamps.
        end_s: End of the part in the input's time; None copies the other streams to their end.
        rotation: Degrees by which players turn the frames.
    """

    clip: Clip
    folder: SegmentFolder
    codec: str
    source: Path | None
    begin_s: Fraction | None = None
    end_s: Fraction | None = None
    rotation: int = 0


def join(joined: Joined, target: Path) -> list[str]:
    """Write the file; it appears whole or not at all.

    Returns:
        Streams that the container cannot hold, one line each.

    Raises:
        OSError: the disk is full; nothing appears, the segments stay.
        ValueError: no segments, or the container takes none of them.
    """
    first = next(joined.folder.finished(), None)
    if first is None:
        raise ValueError(f"{target}: no frame was finished, so there is nothing to write")
    with replacing(target) as temporary:
        fix = f"the finished frames stay in {joined.folder.folder}; try an .mkv file"
        with explained(target, "FFmpeg cannot write it", fix):
            return _write(joined, first, temporary)


def _write(joined: Joined, first: Segment, temporary: Path) -> list[str]:
    av = load_av()
    suffix = temporary.suffix.lower()
    is_mp4 = CONTAINERS[suffix] in ("mp4", "mov")
    # Sound may begin before 0; Matroska's default would move everything to make up for it.
    flags = {"movflags": "use_metadata_tags"} if is_mp4 else {"avoid_negative_ts": "disabled"}
    source = None if joined.source is None else open_clip(joined.source)
    try:
        with (
            av.open(
                str(temporary), "w", format=CONTAINERS[suffix], container_options=flags
            ) as output,
            av.open(str(first.file)) as opened,
        ):
            video = output.add_stream_from_template(opened.streams.video[0], opaque=True)
            video.time_base = joined.clip.time_base  # Matroska's milliseconds would round
            tag = CODECS[joined.codec].tag
            if tag is not None and is_mp4:
                video.codec_context.codec_tag = tag
            if joined.rotation:
                video.set_display_rotation(joined.rotation)
            copied: dict[int, Stream] = {}
            dropped: list[str] = []
            if source is not None:
                copied, dropped = _add_others(output, source, suffix)
                _copy_tags(joined, source, output, video)
            packets = [_video_packets(joined, video)]
            if source is not None and copied:
                packets.append(_other_packets(joined, source, copied))
            for _, _, packet in heapq.merge(*packets, key=lambda timed: timed[:2]):
                output.mux(packet)
            return dropped
    finally:
        if source is not None:
            source.close()


def _copy_tags(
    joined: Joined, source: InputContainer, output: OutputContainer, video: Stream
) -> None:
    output.metadata.update({k: v for k, v in source.metadata.items() if k not in _OWN_TAGS})
    if joined.begin_s is None and joined.end_s is None:
        output.set_chapters(source.chapters())
    theirs = next(s for s in source.streams if s.type == "video")
    video.metadata.update({k: v for k, v in theirs.metadata.items() if _is_kept(k)})


def _is_kept(tag: str) -> bool:
    # Statistics of the coded frames, which are new; and what the muxer writes itself.
    return tag not in ("encoder", "vendor_id", "rotate", "DURATION") and not tag.startswith(
        ("BPS", "NUMBER_OF_", "_STATISTICS")
    )


def _add_others(
    output: OutputContainer, source: InputContainer, suffix: str
) -> tuple[dict[int, Stream], list[str]]:
    """Streams of the output by the index of the input's; and those that cannot be copied."""
    copied: dict[int, Stream] = {}
    dropped: list[str] = []
    videos = 0
    for stream in source.streams:
        videos += stream.type == "video"
        if stream.type == "video" and videos == 1:
            continue
        name = getattr(stream.codec_context, "name", None) or stream.type
        try:
            if stream.type not in _COPIED:
                raise ValueError(f"only {' and '.join(_COPIED)} streams are copied")
            added = output.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            reason = str(error) if stream.type not in _COPIED else f"{suffix} cannot hold it"
            dropped.append(f"stream {stream.index} ({stream.type}, {name}) is left out: {reason}")
            continue
        added.metadata.update({k: v for k, v in stream.metadata.items() if _is_kept(k)})
        added.disposition = stream.disposition
        copied[stream.index] = added
    return copied, dropped


def _other_packets(
    joined: Joined, source: InputContainer, copied: dict[int, Stream]
) -> Iterator[_Timed]:
    """The packets of sound and subtitles as they are, within the part."""
    shift = joined.begin_s or Fraction(0)
    for packet in source.demux([source.streams[index] for index in copied]):
        if packet.dts is None or packet.pts is None or not packet.size:
            continue  # the empty packet at the end
        begin = packet.pts * packet.time_base
        if joined.begin_s is not None and begin < joined.begin_s:
            continue
        if joined.end_s is not None and begin >= joined.end_s:
            continue
        moved = round(shift / packet.time_base)
        packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
        packet.stream = copied[packet.stream_index]
        yield packet.dts * packet.time_base, 1, packet


def _video_packets(joined: Joined, stream: Stream) -> Iterator[_Timed]:
    """All coded frames with their exact time stamps.

    Decoding times are computed anew for the whole: each is an earlier frame's showing time, so
    that they rise across segments too.
    """
    base = joined.clip.time_base
    moved = round((joined.begin_s or Fraction(0)) / base)
    decoding = _decoding_times(joined.folder, joined.clip.step)
    for segment in joined.folder.finished():
        with load_av().open(str(segment.file)) as container:
            coded = (packet for packet in container.demux(video=0) if packet.size)
            stamps = zip(segment.pts, segment.durations, strict=True)
            for packet, (pts, duration) in zip(coded, stamps, strict=True):
                packet.time_base = base
                packet.pts, packet.dts = pts - moved, next(decoding) - moved
                packet.duration = duration
                packet.stream = stream
                yield packet.dts * base, 0, packet


def _decoding_times(folder: SegmentFolder, step: int) -> Iterator[int]:
    delay = max(segment.delay for segment in folder.finished())
    first = min(next(folder.finished()).pts)
    lead = (first - (delay - place) * step for place in range(delay))
    return itertools.chain(lead, _shown(folder.finished()))


def _shown(segments: Iterable[Segment]) -> Iterator[int]:
    for segment in segments:
        yield from sorted(segment.pts)
