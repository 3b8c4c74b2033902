"""Runs a fresh artifact on real pictures and compares it with PyTorch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..runtimes.artifact import Parity, TensorSpec
from ..runtimes.compare import max_abs, psnr_db, residual_snr_db, ssim
from ..runtimes.pictures.sample_inputs import SampleInput, to_uint8

if TYPE_CHECKING:
    from torch import nn

    from ..runtimes.base import Runner
    from ..runtimes.pictures.tiling import Progress

PARITY_PICTURES = 4
RANGE_SLACK = 1 / 255  # half a step of an 8-bit pixel: what rounding may add, and nobody sees


class ParityError(ValueError):
    """The artifact does not do what PyTorch does."""


@dataclass(frozen=True)
class _Compared:
    name: str
    psnr_db: float
    ssim: float
    max_abs: float
    residual_snr_db: float


def measure_parity(
    runner: Runner,
    reference: nn.Module,
    samples: Sequence[SampleInput],
    *,
    tolerance_psnr_db: float,
    emulated: bool = False,
    note: str | None = None,
    progress: Progress | None = None,
) -> Parity:
    """Compare the artifact's outputs with PyTorch's on real pictures.

    Args:
        runner: Opened on the artifact.
        reference: The unprepared generator in the artifact's norm mode; float32, CPU.
        samples: At least one.
        tolerance_psnr_db: Every picture must reach it.
        emulated: Whether the runner only imitates the target's runtime.
        note: What was run in the artifact's place, and why; None if the artifact itself was.
        progress: Called with (pictures done, pictures in all).

    Raises:
        ParityError: a picture is below the tolerance, or an output leaves [-1, 1].
        ValueError: no pictures, or an output is not finite.
    """
    if not samples:
        raise ValueError("parity needs at least one picture")
    rows: list[_Compared] = []
    for done, sample in enumerate(samples):
        expected = given_as(run_reference(reference, sample.image), runner.manifest.output)
        output = runner.infer(sample.image).copy()
        _check_range(output, sample, runner.manifest.target)
        rows.append(_Compared(sample.name, *compare_outputs(output, expected, sample)))
        if progress is not None:
            progress(done + 1, len(samples))
    _check_worst(rows, tolerance_psnr_db, runner.manifest.target)
    summary = _summary(rows, runner, tolerance_psnr_db)
    return dataclasses.replace(summary, emulated=emulated, note=note)


def _check_worst(rows: Sequence[_Compared], tolerance_psnr_db: float, target: str) -> None:
    worst = min(rows, key=lambda row: row.psnr_db)
    if worst.psnr_db < tolerance_psnr_db:
        raise ParityError(
            f"{target} differs from PyTorch: {worst.psnr_db:.2f} dB on {worst.name}, at least "
            f"{tolerance_psnr_db:g} dB wanted (residual SNR {worst.residual_snr_db:.2f} dB, "
            f"largest difference {worst.max_abs:.3g}); nothing was written"
        )


def _summary(rows: Sequence[_Compared], runner: Runner, tolerance_psnr_db: float) -> Parity:
    worst = min(rows, key=lambda row: row.psnr_db)
    rounded = ", rounded to uint8" if runner.manifest.output.dtype == "uint8" else ""
    return Parity(
        reference=f"PyTorch fp32 CPU, unfolded generator{rounded}",
        pictures=len(rows),
        picture_set="samples",
        psnr_db=_pooled_db([row.psnr_db for row in rows]),
        worst_psnr_db=worst.psnr_db,
        worst_picture=worst.name,
        ssim=float(np.mean([row.ssim for row in rows])),
        max_abs=max(row.max_abs for row in rows),
        residual_snr_db=_pooled_db([row.residual_snr_db for row in rows]),
        tolerance_psnr_db=tolerance_psnr_db,
        ran_on=f"{type(runner).__name__}: {runner.describe()}",
        emulated=runner.emulated,
    )


def _check_range(output: np.ndarray, sample: SampleInput, target: str) -> None:
    """Refuse what leaves [-1, 1], which PSNR cannot see: pixels are clipped before it is taken."""
    low, high = float(output.min()), float(output.max())
    if low < -1.0 - RANGE_SLACK or high > 1.0 + RANGE_SLACK:
        raise ParityError(
            f"{target} answers with values in [{low:.4g}, {high:.4g}] on {sample.name}, but "
            "it must stay in [-1, 1], as PyTorch does; nothing was written"
        )


def run_reference(reference: nn.Module, image: np.ndarray) -> np.ndarray:
    """PyTorch's answer: float32 (1, 3, H, W) -> the same shape, in [-1, 1]."""
    import torch

    with torch.inference_mode():
        return reference(torch.from_numpy(image)).numpy()


def given_as(answer: np.ndarray, border: TensorSpec) -> np.ndarray:
    """PyTorch's answer as the artifact's output can hold it: rounded to levels where that is uint8.

    Args:
        answer: float32 (1, 3, H, W) in [-1, 1].
        border: The artifact's output.
    """
    if border.dtype != "uint8":
        return answer
    levels = to_uint8(answer).transpose(2, 0, 1)[None]
    return levels.astype(np.float32) / 127.5 - 1.0


def compare_outputs(
    output: np.ndarray, expected: np.ndarray, sample: SampleInput
) -> tuple[float, float, float, float]:
    """PSNR and SSIM on uint8 (padding cropped), largest difference and residual SNR on floats."""
    height, width = sample.shown
    shown = np.s_[:, :, :height, :width]
    output, expected, image = output[shown], expected[shown], sample.image[shown]
    first, second = to_uint8(output), to_uint8(expected)
    return (
        psnr_db(first, second),
        ssim(first, second),
        max_abs(output, expected),
        residual_snr_db(output, expected, image),
    )


def _pooled_db(values: Sequence[float]) -> float:
    """The ratio of the pictures' mean error power; infinite only if every picture is identical."""
    power = float(np.mean([10.0 ** (-value / 10.0) for value in values]))
    return math.inf if power == 0.0 else -10.0 * math.log10(power)
