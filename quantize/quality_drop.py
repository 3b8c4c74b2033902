"""The quality drop of quantisation, against sharp pictures and against the float network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..runtimes.compare import energy_snr_db, psnr_db, residual_energy, ssim
from ..runtimes.pictures.sample_inputs import SampleInput, to_uint8

Infer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class QualityDrop:
    """The quality drop of a quantised network on pictures with a sharp reference.

    dB on uint8 RGB, means over pictures unless noted; a positive drop is a loss.

    Attributes:
        pictures: Number of pictures.
        psnr_drop_db: PSNR of the float network against sharp, minus that of the quantised one.
        ssim_drop: The same for SSIM.
        psnr_to_float_db: PSNR of quantised against float, from the mean squared error of all.
        residual_snr_db: SNR of the residual (what the network adds to its input), on floats.
        worst_picture: The picture with the largest drop.
        worst_drop_db: That drop.
    """

    pictures: int
    psnr_drop_db: float
    ssim_drop: float
    psnr_to_float_db: float
    residual_snr_db: float
    worst_picture: str
    worst_drop_db: float


def float_outputs(infer: Infer, samples: Sequence[SampleInput]) -> list[np.ndarray]:
    """Outputs of the float network, computed once for all comparisons."""
    return [infer(sample.image).copy() for sample in samples]


def measure_drop(
    infer: Infer, floats: Sequence[np.ndarray], samples: Sequence[SampleInput]
) -> QualityDrop:
    """Compare a quantised network with outputs of the float network.

    Args:
        infer: The quantised network: float32 (1, 3, H, W) in [-1, 1] -> the same.
        floats: Outputs of the float network, from `float_outputs`.
        samples: Inputs with sharp references.

    Raises:
        ValueError: no pictures, one without a sharp reference, or an output that is not finite.
    """
    if not samples:
        raise ValueError("the quality drop needs at least one picture")
    drops: list[tuple[float, str]] = []
    ssims: list[float] = []
    signal = noise = squares = values = 0.0
    for sample, expected in zip(samples, floats, strict=True):
        if sample.sharp is None:
            raise ValueError(f"{sample.name} has no sharp reference to compare with")
        height, width = sample.shown
        shown = np.s_[:, :, :height, :width]
        output = infer(sample.image)[shown]
        energies = residual_energy(output, expected[shown], sample.image[shown])
        signal, noise = signal + energies[0], noise + energies[1]
        before, after = to_uint8(expected[shown]), to_uint8(output)
        drops.append(
            (
                psnr_db(before, sample.sharp) - psnr_db(after, sample.sharp),
                sample.name,
            )
        )
        ssims.append(ssim(before, sample.sharp) - ssim(after, sample.sharp))
        squares += float(np.sum(np.square(before.astype(np.float64) - after)))
        values += before.size
    worst = max(drops)
    return QualityDrop(
        pictures=len(drops),
        psnr_drop_db=float(np.mean([drop for drop, _ in drops])),
        ssim_drop=float(np.mean(ssims)),
        psnr_to_float_db=float("inf") if squares == 0 else _psnr(squares / values),
        residual_snr_db=energy_snr_db(signal, noise),
        worst_picture=worst[1],
        worst_drop_db=worst[0],
    )


def _psnr(mean_square: float) -> float:
    return float(10.0 * np.log10(255.0**2 / mean_square))
