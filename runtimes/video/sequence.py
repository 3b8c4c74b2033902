"""Image sequences, such as ``frame_%05d.png``: reading them as a clip, writing a clip as one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..pictures.metadata import Picture
from ..pictures.read import read_picture
from ..pictures.write import lost_in_format, write_picture
from .clip import BrokenClipError, Clip, Frame, Part
from .colour import colour_of_pictures

_NUMBER = re.compile(r"%0?(\d*)d")


def is_pattern(name: str) -> bool:
    """Whether a name stands for numbered pictures."""
    return len(_NUMBER.findall(Path(name).name)) == 1


def numbered(pattern: Path, number: int) -> Path:
    """The file of one number."""
    return pattern.with_name(pattern.name % number)


def find_numbers(pattern: Path) -> range:
    """The numbers whose files are there.

    Raises:
        FileNotFoundError: none is, or one is missing in between.
    """
    before, _, after = _NUMBER.split(pattern.name)
    wanted = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    names = [path.name for path in pattern.parent.iterdir()] if pattern.parent.is_dir() else []
    found = [int(match[1]) for name in names if (match := wanted.fullmatch(name))]
    numbers = sorted(n for n in found if pattern.name % n in names)
    if not numbers:
        raise FileNotFoundError(f"{pattern}: no such pictures")
    complete = range(numbers[0], numbers[-1] + 1)
    if len(complete) != len(numbers):
        missing = min(set(complete) - set(numbers))
        raise FileNotFoundError(
            f"{numbered(pattern, missing)}: missing between others; renumber the pictures"
        )
    return complete


def probe_sequence(pattern: Path, rate: Fraction) -> Clip:
    """What a sequence is, by its first picture; time counts frames from 0.

    Raises:
        FileNotFoundError: no pictures, or a gap in the numbers.
        ValueError: the first one cannot be read.
    """
    numbers = find_numbers(pattern)
    first = read_picture(numbered(pattern, numbers[0]))
    height, width = first.pixels.shape[:2]
    remarks = () if first.alpha is None else ("transparency is dropped",)
    return Clip(
        path=pattern,
        height=height,
        width=width,
        bits=first.bits,
        format="rgb24" if first.bits == 8 else "rgb48le",
        colour=colour_of_pictures(height, width),
        time_base=1 / rate,
        rate=rate,
        frames=len(numbers),
        remarks=(*first.remarks, *remarks),
    )


def read_sequence(clip: Clip, part: Part, *, after_pts: int | None = None) -> Iterator[Frame]:
    """As `reader.read_frames`.

    Raises:
        BrokenClipError: a picture of another size or depth, or one that cannot be read.
    """
    first = part.first_pts(clip) if after_pts is None else max(part.first_pts(clip), after_pts + 1)
    stop = part.stop_pts(clip)
    for pts, number in enumerate(find_numbers(clip.path)):
        if stop is not None and pts >= stop:
            return
        if pts < first:
            continue
        path = numbered(clip.path, number)
        try:
            pixels = read_picture(path).pixels
        except ValueError as error:
            raise BrokenClipError(str(error)) from error
        if pixels.shape != (clip.height, clip.width, 3):
            raise BrokenClipError(
                f"{path}: {pixels.shape[1]}x{pixels.shape[0]}, but the first picture has "
                f"{clip.width}x{clip.height}; a clip has one size"
            )
        yield Frame(_as_deep(pixels, clip.bits), pts, 1)


def write_numbered(pattern: Path, number: int, pixels: np.ndarray, quality: int) -> None:
    """Write one picture; it appears whole or not at all.

    Raises:
        OSError, ValueError: as `write_picture`.
    """
    write_picture(Picture(pixels), numbered(pattern, number), quality)


def lost_in_pictures(pattern: Path, pixels: np.ndarray) -> list[str]:
    """What the pictures' format cannot hold, one line each."""
    return lost_in_format(Picture(pixels), pattern)


def _as_deep(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Some writers store a frame in 8 bits where all its values allow it."""
    if bits > 8 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(257)
    if bits == 8 and pixels.dtype == np.uint16:
        return (pixels // 257).astype(np.uint8)
    return pixels
