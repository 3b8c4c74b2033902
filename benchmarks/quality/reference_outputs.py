"""The PyTorch reference's outputs on disk: written once, read by every artifact made from it.

Picture i lies in ``i.npy`` (uint8 (H, W, 3)) and ``i.K.npy`` (float32 (1, 3, h, w), what the
network gave for its K-th tile); ``index.json`` holds the scores and a checksum of each tile's
input. An artifact that cuts pictures in another way is found out by those checksums.
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..result import PictureScore
from ..serialise import build, to_plain

_RESERVE_BYTES = 256 << 20  # left free for everybody else


@dataclass(frozen=True)
class _Entry:
    score: PictureScore
    checksums: tuple[int, ...]


@dataclass(frozen=True)
class _Index:
    entries: tuple[_Entry, ...]


class ReferenceWriter:
    """Saves the reference's outputs, picture by picture; `finish` makes them readable."""

    def __init__(self, folder: Path, pictures: int) -> None:
        self._folder = folder
        self._pictures = pictures
        self._entries: list[_Entry] = []
        self._checksums: list[int] = []
        self._bytes = 0

    def add_tile(self, image: np.ndarray, output: np.ndarray) -> None:
        """One tile of the picture at hand: float32 (1, 3, h, w) before and after."""
        # Asked before each write: a disk that fills up half-way would lose the work so far.
        done = len(self._entries)
        # Before the first picture is in: as if all were one tile like this, plus the uint8 copy.
        each = self._bytes / done if done else 1.25 * output.nbytes
        expected = each * (self._pictures - done)
        free = shutil.disk_usage(self._folder).free
        if free < expected + _RESERVE_BYTES:
            raise OSError(
                f"{self._folder}: {free >> 20} MiB free, but the reference's outputs for "
                f"{self._pictures - done} more pictures need about {int(expected) >> 20} MiB "
                "there; use --limit, or set TMPDIR to a larger disk"
            )
        path = self._folder / f"{len(self._entries)}.{len(self._checksums)}.npy"
        np.save(path, output)
        self._checksums.append(_checksum(image))
        self._bytes += output.nbytes

    def end_picture(self, output: np.ndarray, score: PictureScore) -> None:
        """All tiles of a picture are in; ``output`` is uint8 (H, W, 3)."""
        np.save(self._folder / f"{len(self._entries)}.npy", output)
        self._bytes += output.nbytes
        self._entries.append(_Entry(score, tuple(self._checksums)))
        self._checksums.clear()

    def finish(self) -> None:
        """Write the index."""
        index = to_plain(_Index(tuple(self._entries)))
        (self._folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


class ReferenceReader:
    """The outputs that a `ReferenceWriter` finished; ``label``: the reference's row in results."""

    def __init__(self, folder: Path, label: str) -> None:
        self.label = label
        path = folder / "index.json"
        body = json.loads(path.read_text(encoding="utf-8"))
        self._folder = folder
        self._entries = build(_Index, body, origin=str(path)).entries

    def score(self, picture: int) -> PictureScore:
        """The reference's own scores for picture ``picture`` of the list."""
        return self._entries[picture].score

    def output(self, picture: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        return np.load(self._folder / f"{picture}.npy")

    def tile_count(self, picture: int) -> int:
        """Into how many tiles the reference's picture was cut."""
        return len(self._entries[picture].checksums)

    def tile(self, picture: int, tile: int, image: np.ndarray) -> np.ndarray:
        """The reference's output for one tile, float32 (1, 3, h, w).

        Raises:
            ValueError: ``image`` is not what the reference was given there.
        """
        checksums = self._entries[picture].checksums
        if tile >= len(checksums) or checksums[tile] != _checksum(image):
            raise ValueError(
                f"{self._entries[picture].score.name}: tile {tile} of the artifact is not what the "
                "PyTorch reference was given, so their outputs cannot be compared"
            )
        return np.load(self._folder / f"{picture}.{tile}.npy")


def _checksum(image: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(image).tobytes())
