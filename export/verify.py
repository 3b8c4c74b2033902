"""Runs an exported artifact on real pictures and compares its outputs with PyTorch."""

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
RANGE_TOLERANCE = 1 / 255  # half an 8-bit level: what rounding may add


class ParityError(ValueError):
    """The artifact differs from PyTorch by more than the tolerance."""


@dataclass(frozen=True)
class _PictureParity:
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
        runner: The runner that opened the artifact.
        reference: The unprepared generator in the artifact's norm mode; float32, CPU.
        samples: At least one.
        tolerance_psnr_db: Lowest PSNR allowed on any picture.
        emulated: Whether the runner only emulates the target's runtime.
        note: What ran in place of the artifact, and why; None if the artifact itself ran.
        progress: Called with (pictures done, total).

    Raises:
        ParityError: a picture is below the tolerance, or an output leaves [-1, 1].
        ValueError: no pictures, or an output is not finite.
    """
    if not samples:
        raise ValueError("parity needs at least one picture")
    rows: list[_PictureParity] = []
    for done, sample in enumerate(samples):
        expected = round_to_output(run_reference(reference, sample.image), runner.manifest.output)
        output = runner.infer(sample.image).copy()
        _check_range(output, sample, runner.manifest.target)
        rows.append(_PictureParity(sample.name, *compare_outputs(output, expected, sample)))
        if progress is not None:
            progress(done + 1, len(samples))
    _check_worst(rows, tolerance_psnr_db, runner.manifest.target)
    summary = _summary(rows, runner, tolerance_psnr_db)
    return dataclasses.replace(summary, emulated=emulated, note=note)


def _check_worst(rows: Sequence[_PictureParity], tolerance_psnr_db: float, target: str) -> None:
    worst = min(rows, key=lambda row: row.psnr_db)
    if worst.psnr_db < tolerance_psnr_db:
        raise ParityError(
            f"{target} differs from PyTorch: {worst.psnr_db:.2f} dB on {worst.name}, below the "
            f"tolerance of {tolerance_psnr_db:g} dB (residual SNR {worst.residual_snr_db:.2f} dB, "
            f"largest difference {worst.max_abs:.3g}); nothing was written"
        )


def _summary(rows: Sequence[_PictureParity], runner: Runner, tolerance_psnr_db: float) -> Parity:
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
    """Refuse outputs outside [-1, 1]. PSNR misses them: it is computed on clipped pixels."""
    low, high = float(output.min()), float(output.max())
    if low < -1.0 - RANGE_TOLERANCE or high > 1.0 + RANGE_TOLERANCE:
        raise ParityError(
            f"{target} outputs values in [{low:.4g}, {high:.4g}] on {sample.name}, outside "
            "[-1, 1]; nothing was written"
        )


def run_reference(reference: nn.Module, image: np.ndarray) -> np.ndarray:
    """PyTorch's output: float32 (1, 3, H, W) -> the same shape, in [-1, 1]."""
    import torch

    with torch.inference_mode():
        return reference(torch.from_numpy(image)).numpy()


def round_to_output(output: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """PyTorch's output, rounded to 8-bit levels if the artifact's output is uint8.

    Args:
        output: float32 (1, 3, H, W) in [-1, 1].
        spec: The artifact's output tensor.
    """
    if spec.dtype != "uint8":
        return output
    levels = to_uint8(output).transpose(2, 0, 1)[None]
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
    """Mean error power over pictures, in dB; infinite only if all are identical."""
    power = float(np.mean([10.0 ** (-value / 10.0) for value in values]))
    return math.inf if power == 0.0 else -10.0 * math.log10(power)
