"""How a report writes numbers."""

from __future__ import annotations

import math

from ..result import Spread

_MIB = 1 << 20
NONE = "-"


def billions(count: int | None, digits: int) -> str:
    """In 10^9, with ``digits`` decimals."""
    return NONE if count is None else f"{count / 1e9:.{digits}f}"


def megapixels(size: tuple[int, int]) -> float:
    """Height * width / 1e6."""
    return size[0] * size[1] / 1e6


def speedup(value: float | None) -> str:
    """Two decimals."""
    return NONE if value is None else f"{value:.2f}"


def milliseconds(value: float) -> str:
    """Four significant digits at most."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def spread(value: Spread) -> str:
    """``median [p5, p95]``."""
    low, high = milliseconds(value.p5_ms), milliseconds(value.p95_ms)
    return f"{milliseconds(value.median_ms)} [{low}, {high}]"


def decibels(value: float) -> str:
    """Two decimals; identical pictures have no finite PSNR."""
    return "identical" if value == math.inf else f"{value:.2f}"


def signed(value: float, digits: int) -> str:
    """With its sign, but never -0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def mebibytes(value: int | None) -> str:
    """Whole mebibytes."""
    return NONE if value is None else f"{value / _MIB:.0f}"
