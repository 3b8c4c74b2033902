"""Range observers: from the values of a tensor to the range that 8 bits cover.

Values are float32, any number, a sample from calibration; ``low`` and ``high`` are the exact
extremes over all pictures. A range always holds 0, which padding and ReLU need exactly.
"""

from __future__ import annotations

import numpy as np

from ...runtimes.optional import require

Range = tuple[float, float]
LEVELS = 256
_BINS = 257  # odd, so that one bin is around 0; onnxruntime's search is quadratic in them
_SHRINK_FACTORS = np.linspace(1.0, 0.3, 36)


def observe(
    observer: str, values: np.ndarray, low: float, high: float, *, percentile: float = 99.99
) -> Range:
    """The range chosen by one of the four observers.

    Raises:
        ValueError: unknown observer, or extremes that are not finite.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"values from {low} to {high}: a range needs finite numbers")
    if observer == "minmax" or values.size == 0 or low == high:
        return with_zero(low, high)
    if observer == "percentile":
        return by_percentile(values, percentile)
    if observer == "entropy":
        return by_entropy(values, low, high)
    if observer == "mse":
        return by_mse(values, low, high)
    raise ValueError(f"unknown observer {observer!r}")


def with_zero(low: float, high: float) -> Range:
    """The range, widened to hold 0."""
    return min(float(low), 0.0), max(float(high), 0.0)


def by_percentile(values: np.ndarray, percentile: float) -> Range:
    """All but the outermost ``100 - percentile`` percent at either end."""
    low, high = np.percentile(values, (100.0 - percentile, percentile))
    return with_zero(low, high)


def by_entropy(values: np.ndarray, low: float, high: float) -> Range:
    """The range whose 128 levels lose least information (onnxruntime's search, symmetric).

    The result is clipped to the observed extremes, so that the range of a ReLU starts at 0.
    """
    calibrate = require("onnxruntime.quantization.calibrate", extra="export-onnx")
    reach = max(abs(low), abs(high))
    counts, edges = np.histogram(values, _BINS, (-reach, reach))
    # Only the search of onnxruntime is used: its collector would keep all values in memory.
    search = calibrate.HistogramCollector.get_entropy_threshold
    seen = (counts, edges, *np.array([low, high, reach]))
    found = search(None, seen, LEVELS // 2)
    return with_zero(max(float(found[0]), low), min(float(found[1]), high))


def by_mse(values: np.ndarray, low: float, high: float) -> Range:
    """Of 36 ranges, from the full range to 30 % of it, the one with the least squared error."""
    low, high = with_zero(low, high)
    errors = [
        float(np.mean(np.square(fake_quantised(values, low * s, high * s) - values)))
        for s in _SHRINK_FACTORS
    ]
    best = float(_SHRINK_FACTORS[int(np.argmin(errors))])
    return low * best, high * best


def fake_quantised(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The values rounded to 8 bits: ``scale * (clip(round(x / scale) + zero, 0, 255) - zero)``.

    ``scale = (high - low) / 255`` and ``zero = round(-low / scale)``; halves round to even, as
    ONNX's QuantizeLinear does.
    """
    scale = (high - low) / (LEVELS - 1)
    if scale == 0.0:
        return np.zeros_like(values)
    zero = np.rint(-low / scale)
    return scale * (np.clip(np.rint(values / scale) + zero, 0, LEVELS - 1) - zero)
