"""Plots the curves of a run: loss over steps, and the validation gain.

Drawn with Pillow, as a plotting library would be a heavy thing to install for one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_WIDTH, _HEIGHT, _MARGIN = 900, 320, 60  # of each panel, in pixels
_INK, _GRID, _LOSS, _GAIN = "#222222", "#dddddd", "#0072b2", "#d55e00"
_SMOOTHED = 21  # log lines that a point of the loss curve is the mean of
Points = list[tuple[float, float]]


def curve_points(log: Sequence[dict[str, Any]]) -> tuple[Points, Points]:
    """(step, loss), smoothed by a running mean, and (step, gain in dB) of a run's log."""
    loss = [(float(line["step"]), float(line["loss"])) for line in log if "loss" in line]
    gain = [(float(line["step"]), float(line["gain_db"])) for line in log if "gain_db" in line]
    smooth: Points = []
    for index, (step, _) in enumerate(loss):
        window = loss[max(index - _SMOOTHED + 1, 0) : index + 1]
        smooth.append((step, float(np.mean([value for _, value in window]))))
    return smooth, gain


def write_curves(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG with two panels, loss above and gain on the validation set below.

    Raises:
        ValueError: the log holds no losses.
        OSError: it cannot be written.
    """
    from PIL import Image, ImageDraw

    loss, gain = curve_points(log)
    if not loss:
        raise ValueError(f"{path}: nothing to draw; the log holds no losses")
    panels = [("loss (running mean)", loss, _LOSS)]
    if gain:
        panels.append(("gain in PSNR on the validation pictures, dB", gain, _GAIN))
    image = Image.new("RGB", (_WIDTH, _HEIGHT * len(panels)), "#ffffff")
    draw = ImageDraw.Draw(image)
    for number, (title, points, colour) in enumerate(panels):
        _panel(draw, number * _HEIGHT, title, points, colour)
    image.save(path, format="PNG")


def _panel(draw: ImageDraw, top: int, title: str, points: Points, colour: str) -> None:
    steps, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    last = max(steps) or 1.0

    def place(step: float, value: float) -> tuple[float, float]:
        across = _MARGIN + (_WIDTH - 2 * _MARGIN) * step / last
        up = (_HEIGHT - 2 * _MARGIN) * (value - low) / spread
        return across, top + _HEIGHT - _MARGIN - up

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * spread
        draw.line([place(0, value), place(last, value)], fill=_GRID)
        draw.text((4, place(0, value)[1] - 6), f"{value:.3g}", fill=_INK)
        at = place(share * last, low)
        draw.text((at[0] - 12, at[1] + 8), f"{share * last:.0f}", fill=_INK)
    draw.text((_MARGIN, top + 20), title, fill=_INK)
    draw.text((_WIDTH - 2 * _MARGIN, top + _HEIGHT - 24), "steps", fill=_INK)
    drawn = [place(step, value) for step, value in points]
    draw.line(drawn, fill=colour, width=2)
    for x, y in drawn if len(drawn) < 40 else ():
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
