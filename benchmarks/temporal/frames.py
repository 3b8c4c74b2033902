"""The frames of a clip, or of a folder with one picture a frame, as 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...models.data.pairs import list_pictures
from ...runtimes.pictures.read import read_picture
from ...runtimes.video.clip import Part
from ...runtimes.video.reader import probe, read_frames
from .flow import Picture


def frames_of(path: Path) -> Iterator[Picture]:
    """Frames in order: uint8 (H, W, 3), all of one size.

    Args:
        path: A clip, or a folder whose pictures are sorted by name.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no frames, another size, or not readable.
    """
    if not path.is_dir():
        for frame in read_frames(probe(path), Part()):
            yield _as_8_bits(frame.pixels)
        return
    pictures = list_pictures(path)
    if not pictures:
        raise ValueError(f"{path}: holds no pictures")
    shape: tuple[int, ...] = ()
    for file in pictures.values():
        pixels = _as_8_bits(read_picture(file).pixels)
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise ValueError(f"{file}: another size than the frames before; a clip has one size")
        yield pixels


def _as_8_bits(pixels: np.ndarray) -> Picture:
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels / 257).astype(np.uint8)
