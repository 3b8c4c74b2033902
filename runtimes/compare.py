"""The only definitions of PSNR, SSIM, largest difference and residual SNR in this project.

NaN, empty arrays and shape mismatches raise an error; they never count as a match.
"""

from __future__ import annotations

import math

import numpy as np

from .optional import require

# Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
# Similarity", IEEE TIP 2004, section III-B: 11x11 circular-symmetric Gaussian with sigma 1.5,
# K1 = 0.01, K2 = 0.03; statistics only where the window fits.
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03
SSIM_NAME = "SSIM (Wang 2004, 11x11 Gaussian, RGB mean)"


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 RGB pictures, data range 255, in dB.

    Identical pictures give ``math.inf``.

    Raises:
        TypeError: not uint8.
        ValueError: shapes differ or are empty.
    """
    _check_pictures(first, second)
    # Exact in integers: the largest square is 65025, and int64 holds any sum of those.
    difference = first.astype(np.int16) - second.astype(np.int16)
    total = int(np.sum(np.square(difference.astype(np.int32)), dtype=np.int64))
    if total == 0:
        return math.inf
    return 10.0 * math.log10(255.0**2 * difference.size / total)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of two uint8 RGB pictures (H, W, 3); the mean over the channels.

    Raises:
        TypeError: not uint8.
        ValueError: shapes differ, or a side is shorter than the 11 pixels of the window.
    """
    _check_pictures(first, second)
    if min(first.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} pixels a side, not {first.shape[:2]}")
    first = first.reshape(*first.shape[:2], -1)
    second = second.reshape(*second.shape[:2], -1)
    channels = range(first.shape[2])
    return float(np.mean([_ssim_plane(first[..., c], second[..., c]) for c in channels]))


def max_abs(first: np.ndarray, second: np.ndarray) -> float:
    """Largest absolute difference of two finite float arrays of one shape."""
    _check_floats(first, second)
    return float(np.max(np.abs(first.astype(np.float64) - second.astype(np.float64))))


def residual_snr_db(output: np.ndarray, reference: np.ndarray, image: np.ndarray) -> float:
    """Signal-to-noise ratio of the residual that the network adds to its input, in dB.

    Signal: ``reference - image``. Noise: ``output - reference``. A destroyed residual shows here
    while whole-picture similarity stays high. Equal outputs give ``math.inf``.

    Raises:
        ValueError: shapes differ, an array is empty or not finite, or the reference changes
            nothing (then there is no signal to compare with).
    """
    return energy_snr_db(*residual_energy(output, reference, image))


def residual_energy(
    output: np.ndarray, reference: np.ndarray, image: np.ndarray
) -> tuple[float, float]:
    """Sums of squares ``(signal, noise)`` of `residual_snr_db`; add them up over tiles.

    Raises:
        ValueError: shapes differ, or an array is empty or not finite.
    """
    _check_floats(output, reference)
    _check_floats(reference, image)
    signal = float(np.sum(np.square(reference.astype(np.float64) - image)))
    noise = float(np.sum(np.square(output.astype(np.float64) - reference)))
    return signal, noise


def energy_snr_db(signal: float, noise: float) -> float:
    """``10 log10(signal / noise)``; infinite without noise.

    Raises:
        ValueError: no signal: the reference changes nothing.
    """
    if signal == 0.0:
        raise ValueError("the reference network changes nothing: its residual is zero everywhere")
    return math.inf if noise == 0.0 else 10.0 * math.log10(signal / noise)


def _ssim_plane(first: np.ndarray, second: np.ndarray) -> float:
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mean_x**2
    var_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * 255.0) ** 2, (SSIM_K2 * 255.0) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(top / bottom))


def _window_mean(plane: np.ndarray) -> np.ndarray:
    """Gaussian-weighted mean at every place where the whole window fits."""
    cv2 = require("cv2", extra="bench")
    half = SSIM_WINDOW // 2
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA)
    blurred = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return blurred[half:-half, half:-half]


def _check_pictures(first: np.ndarray, second: np.ndarray) -> None:
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        raise TypeError(
            f"only uint8 pictures can be compared, not {first.dtype} and {second.dtype}"
        )
    _check_shapes(first, second)


def _check_floats(first: np.ndarray, second: np.ndarray) -> None:
    _check_shapes(first, second)
    for array in (first, second):
        if not np.isfinite(array).all():
            raise ValueError("cannot compare arrays that hold NaN or infinity")


def _check_shapes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(f"cannot compare shapes {first.shape} and {second.shape}")
    if first.size == 0:
        raise ValueError("cannot compare empty arrays")
