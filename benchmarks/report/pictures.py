"""Writes the report's pictures: before, after, sharp and difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.pictures.metadata import Picture
from ...runtimes.pictures.write import write_picture

if TYPE_CHECKING:
    from ..quality.measure import ReportPicture

# A good conversion differs by one or two levels of 255, invisible without amplification; the
# distance to the sharp picture is larger.
DRIFT_GAIN, SHARP_GAIN = 8, 2
PER_PICTURE = 4  # before, after, sharp, difference
EACH, INPUTS = "each", "inputs"  # folders of `write_each`; no row is called the second
MOST = 10  # pictures that `write_each` keeps
DRIFT_SCALE = 16


def write_pictures(pictures: Sequence[ReportPicture], folder: Path) -> list[Path]:
    """Write four PNGs per picture into ``folder``: ``first_cat_before.png`` and so on.

    The difference is ``|after - PyTorch|`` amplified 8 times if PyTorch's output is known, else
    ``|after - sharp|`` amplified twice; its file name says which.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for picture in pictures:
        if picture.reference is not None:
            kind, gain, other = "torch", DRIFT_GAIN, picture.reference
        else:
            kind, gain, other = "sharp", SHARP_GAIN, picture.sharp
        images = {
            "1_before": picture.before,
            "2_after": picture.after,
            "3_sharp": picture.sharp,
            f"4_difference_to_{kind}_x{gain}": amplified_difference(picture.after, other, gain),
        }
        for name, pixels in images.items():
            path = folder / f"{picture.role}_{slug(picture.name)}_{name}.png"
            write_picture(Picture(pixels), path)
            written.append(path)
    return written


def write_each(picture: ReportPicture, number: int, folder: Path) -> None:
    """Save one picture for a page that shows them all: ``00_cat_after.png`` and so on.

    Args:
        picture: The photograph.
        number: Its place in the data set, from 0; from `MOST` on nothing is written.
        folder: The row's. What all rows share goes into ``inputs`` beside it; ``drift`` is
            ``|after - PyTorch|``, amplified `DRIFT_SCALE` times.

    Raises:
        OSError: the folder cannot be written.
    """
    if number >= MOST:
        return
    stem = f"{number:02d}_{slug(picture.name)}"
    images = {
        folder.parent / INPUTS / f"{stem}_before.png": picture.before,
        folder.parent / INPUTS / f"{stem}_sharp.png": picture.sharp,
        folder / EACH / f"{stem}_after.png": picture.after,
    }
    if picture.reference is not None:
        drift = amplified_difference(picture.after, picture.reference, DRIFT_SCALE)
        images[folder / EACH / f"{stem}_drift.png"] = drift
    for path, pixels in images.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == EACH or not path.exists():
            write_picture(Picture(pixels), path)


def amplified_difference(first: np.ndarray, second: np.ndarray, gain: int) -> np.ndarray:
    """``min(255, gain * |first - second|)`` of two uint8 pictures of one shape, as uint8."""
    difference = np.abs(first.astype(np.int16) - second.astype(np.int16))
    return np.minimum(gain * difference, 255).astype(np.uint8)


def slug(name: str) -> str:
    """A name made safe for file names: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
