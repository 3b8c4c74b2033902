"""Calibration pictures: crops of real blurry pictures that set the quantisation ranges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.data.pairs import PICTURE_SUFFIXES
from ..models.data.registry import find_pairs
from ..runtimes.files import sha256_of
from ..runtimes.pictures.read import read_picture
from ..runtimes.pictures.sample_inputs import SAMPLES

DEFAULT_COUNT = 64
SEED = 0


@dataclass(frozen=True)
class CalibrationSet:
    """Crops of blurry pictures.

    Attributes:
        crops: uint8 (H, W, 3) RGB, all of the export's size.
        names: Source of each crop: ``file@top,left``.
        list_sha256: Hash over names and the files' hashes.
        origin: Name of the set, for messages.
    """

    crops: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    list_sha256: str
    origin: str

    def images(self) -> Iterator[np.ndarray]:
        """float32 (1, 3, H, W) in [-1, 1], one crop after the other."""
        for crop in self.crops:
            yield to_network_input(crop)

    def halves(self) -> tuple[CalibrationSet, CalibrationSet]:
        """Two disjoint halves of every second crop each.

        Raises:
            ValueError: fewer than two crops.
        """
        if len(self.crops) < 2:
            raise ValueError("a stability check needs at least two calibration crops")
        first, second = (
            CalibrationSet(
                self.crops[start::2], self.names[start::2], self.list_sha256, self.origin
            )
            for start in (0, 1)
        )
        return first, second


def to_network_input(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> float32 (1, 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0)


def calibration_set(
    source: Path | None, size: tuple[int, int], *, count: int = DEFAULT_COUNT, seed: int = SEED
) -> CalibrationSet:
    """Crops of ``size`` from a dataset or a folder, or from the packaged samples if None.

    A picture larger than the crop gives crops at random places until ``count`` is reached; a
    smaller one is padded by reflection and used once, so there may be fewer than ``count`` crops.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pictures, a count below 1, or a file that cannot be read.
    """
    if count < 1:
        raise ValueError(f"calibration needs at least one picture, not {count}")
    files, origin = _blurry_files(source)
    rng = np.random.default_rng(seed)
    order = [files[index] for index in rng.permutation(len(files))]
    crops: list[np.ndarray] = []
    names: list[str] = []
    while order and len(crops) < count:
        larger: list[Path] = []
        for path in order[: count - len(crops)]:
            crop, place, more = _crop(path, size, rng)
            crops.append(crop)
            names.append(f"{path.name}@{place[0]},{place[1]}")
            if more:
                larger.append(path)
        order = larger
    digest = hashlib.sha256(
        json.dumps([sorted(names), sorted(sha256_of(path) for path in files)]).encode()
    ).hexdigest()
    return CalibrationSet(tuple(crops), tuple(names), digest, origin)


def _blurry_files(source: Path | None) -> tuple[list[Path], str]:
    if source is None:
        files = sorted(SAMPLES.glob("*.png"))
        if not files:
            raise ValueError(f"{SAMPLES}: the packaged samples are missing; reinstall edgedeblur")
        return files, "the packaged samples"
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder of calibration pictures")
    try:
        found = find_pairs(source, split="train")
    except (ValueError, FileNotFoundError) as error:
        files = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            raise ValueError(
                f"{source}: no pictures to calibrate with; give a folder of blurry pictures or a "
                f"dataset in a known layout (as a dataset: {error})"
            ) from error
        return files, f"pictures in {source.name}"
    return [pair.blurry for pair in found.pairs], found.describe()


def _crop(
    path: Path, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int], bool]:
    """A random crop, its (top, left), and whether the picture has room for others."""
    picture = read_picture(path).pixels
    if picture.dtype != np.uint8:
        picture = (picture >> 8).astype(np.uint8)
    spare = [max(have - want, 0) for have, want in zip(picture.shape[:2], size, strict=True)]
    top, left = (int(rng.integers(0, s + 1)) for s in spare)
    crop = picture[top : top + size[0], left : left + size[1], :3]
    missing = [(0, want - have) for have, want in zip(crop.shape[:2], size, strict=True)]
    crop = np.pad(crop, (*missing, (0, 0)), mode="reflect") if any(m[1] for m in missing) else crop
    return np.ascontiguousarray(crop), (top, left), any(spare)
