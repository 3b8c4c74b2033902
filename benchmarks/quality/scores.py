"""The quality part of a result: scores of pictures, and drift from PyTorch.

PSNR is on uint8 RGB over the whole picture, data range 255; SSIM is Wang et al. 2004, 11x11
Gaussian, mean over RGB. Means are arithmetic means of the per-picture values.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureDrift:
    """One picture of the artifact against PyTorch's. Residual: output - input, float.

    ``delta_psnr_db`` is None where just one of the two equals the sharp picture: its PSNR is
    infinite, and so no number says how far apart they are.
    """

    delta_psnr_db: float | None
    delta_ssim: float
    psnr_db: float
    ssim: float
    max_abs: float
    residual_signal: float
    residual_noise: float


@dataclass(frozen=True)
class PictureScore:
    """One picture against its sharp partner; ``sharp`` names the best match of several."""

    name: str
    sharp: str
    psnr_db: float
    ssim: float
    blurry_psnr_db: float
    blurry_ssim: float
    drift: PictureDrift | None = None


@dataclass(frozen=True)
class Drift:
    """What the conversion changed: the artifact against the PyTorch checkpoint in fp32.

    ``delta_*`` is artifact minus PyTorch, each against the sharp pictures; ``delta_psnr_db`` is
    the mean over those pictures that have one, None if none has. ``pooled_psnr_db`` and
    ``ssim`` compare the two outputs; pooled: of the pictures' mean squared error, since a mean of
    dB is infinite as soon as one picture is identical. ``worst_*``: the lowest of one picture.
    ``residual_snr_db`` pools all pictures: 10 log10 of the sum of squares of PyTorch's residual
    (output - input, float) over that of the difference. ``max_abs`` is on floats in [-1, 1].
    """

    reference: str
    delta_psnr_db: float | None
    delta_ssim: float
    pooled_psnr_db: float
    ssim: float
    worst_psnr_db: float
    worst_picture: str
    max_abs: float
    residual_snr_db: float


@dataclass(frozen=True)
class Quality:
    """Means over the pictures, against the sharp ones; and the blurry pictures' own."""

    pictures: int
    psnr_db: float
    ssim: float
    blurry_psnr_db: float
    blurry_ssim: float
    drift: Drift | None
    scores: tuple[PictureScore, ...]
