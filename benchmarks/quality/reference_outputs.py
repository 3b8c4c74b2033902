"""The PyTorch reference's outputs on disk: written once, read by every artifact made from it.

Picture i lies in ``i.npy`` (uint8 (H, W, 3)) and ``i.K.npy`` (float32 (1, 3, h, w), what the
network's output for its K-th tile); ``index.json`` holds the scores and a checksum of each tile's
input. The checksums detect an artifact that tiles pictures differently.
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..serialise import from_json_types, to_json_types
from .scores import PictureScore

_RESERVE_BYTES = 256 << 20  # left free for other programs


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
        """Save one tile of the current picture: float32 (1, 3, h, w) in and out."""
        # Checked before each write: a full disk half-way would lose the work so far.
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
        """Save the whole picture after its tiles; ``output`` is uint8 (H, W, 3)."""
        np.save(self._folder / f"{len(self._entries)}.npy", output)
        self._bytes += output.nbytes
        self._entries.append(_Entry(score, tuple(self._checksums)))
        self._checksums.clear()

    def finish(self) -> None:
        """Write the index."""
        index = to_json_types(_Index(tuple(self._entries)))
        (self._folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


class ReferenceReader:
    """Reads what a `ReferenceWriter` saved; ``label``: the reference's row in results."""

    def __init__(self, folder: Path, label: str) -> None:
        self.label = label
        path = folder / "index.json"
        body = json.loads(path.read_text(encoding="utf-8"))
        self._folder = folder
        self._entries = from_json_types(_Index, body, origin=str(path)).entries

    def score(self, picture: int) -> PictureScore:
        """The reference's scores of picture number ``picture``."""
        return self._entries[picture].score

    def output(self, picture: int) -> np.ndarray:
        """The reference's picture number ``picture``: uint8 (H, W, 3)."""
        return np.load(self._folder / f"{picture}.npy")

    def tile_count(self, picture: int) -> int:
        """How many tiles the reference's picture was cut into."""
        return len(self._entries[picture].checksums)

    def tile(self, picture: int, tile: int, image: np.ndarray) -> np.ndarray:
        """The reference's output for one tile, float32 (1, 3, h, w).

        Raises:
            ValueError: ``image`` differs from the input of the reference's tile.
        """
        checksums = self._entries[picture].checksums
        if tile >= len(checksums) or checksums[tile] != _checksum(image):
            raise ValueError(
                f"{self._entries[picture].score.name}: tile {tile} of the artifact differs from "
                "the PyTorch reference's tile, so their outputs cannot be compared"
            )
        return np.load(self._folder / f"{picture}.{tile}.npy")


def _checksum(image: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(image).tobytes())
