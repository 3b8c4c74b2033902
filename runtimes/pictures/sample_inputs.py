"""Real pictures to test an artifact with: the packaged samples, as network inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

# In a checkout and in a wheel alike, the samples are in benchmarks/samples.
SAMPLES = Path(__file__).parents[2] / "benchmarks" / "samples" / "blurry"
SHARP = SAMPLES.parent / "sharp"


@dataclass(frozen=True)
class SampleInput:
    """A real picture as a network input.

    Attributes:
        name: Its file's name.
        image: float32 (1, 3, H, W), RGB in [-1, 1].
        shown: (height, width) of the picture inside; the rest is reflection padding.
        sharp: The ground truth, uint8 (height, width, 3); None if there is none.
    """

    name: str
    image: np.ndarray
    shown: tuple[int, int]
    sharp: np.ndarray | None = None


def load_sample_inputs(
    size: tuple[int, int], multiple: int, *, dynamic: bool, count: int | None = None
) -> list[SampleInput]:
    """The first ``count`` packaged samples, cropped and padded to the artifact's size.

    With ``dynamic``, each keeps its own size, padded to the next multiples.

    Raises:
        FileNotFoundError: the packaged samples are missing.
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
        sample_inputs.append(
            to_sample_input(file.name, picture, sharp, size, multiple, dynamic=dynamic)
        )
    return sample_inputs


def to_sample_input(
    name: str,
    picture: np.ndarray,
    sharp: np.ndarray | None,
    size: tuple[int, int],
    multiple: int,
    *,
    dynamic: bool,
) -> SampleInput:
    """Pad a uint8 picture by reflection to ``size`` (dynamic: to the next multiples)."""
    padded_size = size
    if dynamic:
        padded_size = tuple(-(-side // multiple) * multiple for side in picture.shape[:2])
    padding = [(0, padded_size[axis] - picture.shape[axis]) for axis in (0, 1)]
    padded = np.pad(picture, (*padding, (0, 0)), mode="reflect")
    image = padded.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0
    return SampleInput(name, np.ascontiguousarray(image), picture.shape[:2], sharp)


def to_uint8(output: np.ndarray) -> np.ndarray:
    """Float (1, 3, H, W) in [-1, 1] -> uint8 (H, W, 3), rounded to nearest."""
    return np.rint((output[0].transpose(1, 2, 0) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
