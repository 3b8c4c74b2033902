"""Real pictures to try an artifact on: the packaged samples, as the network takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The packaged samples are data, not code: they lie beside this room in a checkout and in a wheel.
SAMPLES = Path(__file__).parents[2] / "benchmarks" / "samples" / "blurry"
SHARP = SAMPLES.parent / "sharp"


@dataclass(frozen=True)
class SampleInput:
    """A real picture as the network takes it.

    Attributes:
        name: Its file's name.
        image: float32 (1, 3, H, W), RGB in [-1, 1].
        shown: (height, width) of the picture inside; the rest is reflected padding.
        sharp: What it should look like, uint8 (height, width, 3); None if nobody knows.
    """

    name: str
    image: np.ndarray
    shown: tuple[int, int]
    sharp: np.ndarray | None = None


def load_sample_inputs(
    size: tuple[int, int], multiple: int, *, dynamic: bool, count: int | None = None
) -> list[SampleInput]:
    """The first ``count`` packaged samples at the artifact's size (free size: each at its own).

    Raises:
        FileNotFoundError: the package's samples are not there.
    """
    from .read import read_picture

    files = sorted(SAMPLES.glob("*.png"))[:count]
    if not files:
        raise FileNotFoundError(
            f"{SAMPLES}: the packaged samples are missing; reinstall edgedeblur"
        )
    sample_inputs: list[SampleInput] = []
    for file in files:
        picture = read_picture(file).pixels[: size[0], : size[1]]
        sharp = read_picture(SHARP / file.name).pixels[: size[0], : size[1]]
        sample_inputs.append(probe_of(file.name, picture, sharp, size, multiple, dynamic=dynamic))
    return sample_inputs


def probe_of(
    name: str,
    picture: np.ndarray,
    sharp: np.ndarray | None,
    size: tuple[int, int],
    multiple: int,
    *,
    dynamic: bool,
) -> SampleInput:
    """A uint8 picture no larger than ``size``, reflected to it (or to the next multiples)."""
    goal = size
    if dynamic:
        goal = tuple(-(-side // multiple) * multiple for side in picture.shape[:2])
    padding = [(0, goal[axis] - picture.shape[axis]) for axis in (0, 1)]
    padded = np.pad(picture, (*padding, (0, 0)), mode="reflect")
    image = padded.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0
    return SampleInput(name, np.ascontiguousarray(image), picture.shape[:2], sharp)


def to_uint8(output: np.ndarray) -> np.ndarray:
    """Float (1, 3, H, W) in [-1, 1] -> uint8 (H, W, 3), rounded to nearest."""
    return np.rint((output[0].transpose(1, 2, 0) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
