"""Runs a fresh artifact on real pictures and compares it with PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtimes.artifact import Parity
from ..runtimes.compare import max_abs, psnr_db, residual_snr_db, ssim

if TYPE_CHECKING:
    from torch import nn

    from ..runtimes.base import Runner
    from ..runtimes.tiling import Progress

# The packaged samples are data, not code: they lie beside this room in a checkout and in a wheel.
SAMPLES = Path(__file__).parent.parent / "benchmarks" / "samples" / "blurry"
PARITY_PICTURES = 4


class ParityError(ValueError):
    """The artifact does not do what PyTorch does."""


@dataclass(frozen=True)
class Probe:
    """A real picture as the network takes it.

    Attributes:
        name: Its file's name.
        image: float32 (1, 3, H, W), RGB in [-1, 1].
        shown: (height, width) of the picture inside; the rest is reflected padding.
    """

    name: str
    image: np.ndarray
    shown: tuple[int, int]


def load_probes(size: tuple[int, int], multiple: int, *, dynamic: bool) -> list[Probe]:
    """The first packaged samples at the artifact's size (free size: each at its own).

    Raises:
        FileNotFoundError: the package's samples are not there.
    """
    from ..runtimes.imageio import read_picture

    files = sorted(SAMPLES.glob("*.png"))[:PARITY_PICTURES]
    if not files:
        raise FileNotFoundError(
            f"{SAMPLES}: the packaged samples are missing; reinstall edgedeblur"
        )
    probes: list[Probe] = []
    for file in files:
        picture = read_picture(file).pixels[: size[0], : size[1]]
        goal = size
        if dynamic:
            goal = tuple(-(-side // multiple) * multiple for side in picture.shape[:2])
        padding = [(0, goal[axis] - picture.shape[axis]) for axis in (0, 1)]
        padded = np.pad(picture, (*padding, (0, 0)), mode="reflect")
        image = padded.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0
        probes.append(Probe(file.name, np.ascontiguousarray(image), picture.shape[:2]))
    return probes


def measure_parity(
    runner: Runner,
    reference: nn.Module,
    probes: Sequence[Probe],
    *,
    tolerance_psnr_db: float,
    emulated: bool = False,
    progress: Progress | None = None,
) -> Parity:
    """Compare the artifact's outputs with PyTorch's on real pictures.

    Args:
        runner: Opened on the artifact.
        reference: The unprepared generator in the artifact's norm mode; float32, CPU.
        probes: At least one.
        tolerance_psnr_db: Every picture must reach it.
        emulated: Whether the runner only imitates the target's runtime.
        progress: Called with (pictures done, pictures in all).

    Raises:
        ParityError: a picture is below the tolerance, or the output is not finite.
        ValueError: no pictures.
    """
    if not probes:
        raise ValueError("parity needs at least one picture")
    rows: list[tuple[float, float, float, float, str]] = []
    for done, probe in enumerate(probes):
        expected = run_reference(reference, probe.image)
        output = runner.infer(probe.image).copy()
        rows.append((*compare_outputs(output, expected, probe), probe.name))
        if progress is not None:
            progress(done + 1, len(probes))
    worst = min(rows, key=lambda row: row[0])
    parity = Parity(
        reference="PyTorch fp32 CPU, unfolded generator",
        pictures=len(rows),
        picture_set="samples",
        psnr_db=_pooled_db([row[0] for row in rows]),
        worst_psnr_db=worst[0],
        worst_picture=worst[4],
        ssim=float(np.mean([row[1] for row in rows])),
        max_abs=max(row[2] for row in rows),
        residual_snr_db=_pooled_db([row[3] for row in rows]),
        tolerance_psnr_db=tolerance_psnr_db,
        ran_on=f"{type(runner).__name__}: {runner.describe()}",
        emulated=emulated,
    )
    if parity.worst_psnr_db < tolerance_psnr_db:
        raise ParityError(
            f"{runner.manifest.target} differs from PyTorch: {parity.worst_psnr_db:.2f} dB on "
            f"{worst[4]}, at least {tolerance_psnr_db:g} dB wanted (residual SNR "
            f"{worst[3]:.2f} dB, largest difference {worst[2]:.3g}); nothing was written"
        )
    return parity


def run_reference(reference: nn.Module, image: np.ndarray) -> np.ndarray:
    """PyTorch's answer: float32 (1, 3, H, W) -> the same shape, in [-1, 1]."""
    import torch

    with torch.inference_mode():
        return reference(torch.from_numpy(image)).numpy()


def compare_outputs(
    output: np.ndarray, expected: np.ndarray, probe: Probe
) -> tuple[float, float, float, float]:
    """PSNR and SSIM on uint8 (padding cropped), largest difference and residual SNR on floats."""
    height, width = probe.shown
    shown = np.s_[:, :, :height, :width]
    output, expected, image = output[shown], expected[shown], probe.image[shown]
    first, second = to_uint8(output), to_uint8(expected)
    return (
        psnr_db(first, second),
        ssim(first, second),
        max_abs(output, expected),
        residual_snr_db(output, expected, image),
    )


def to_uint8(output: np.ndarray) -> np.ndarray:
    """Float (1, 3, H, W) in [-1, 1] -> uint8 (H, W, 3), rounded to nearest."""
    return np.rint((output[0].transpose(1, 2, 0) + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def _pooled_db(values: Sequence[float]) -> float:
    """The ratio of the pictures' mean error power; infinite only if every picture is identical."""
    power = float(np.mean([10.0 ** (-value / 10.0) for value in values]))
    return math.inf if power == 0.0 else -10.0 * math.log10(power)
