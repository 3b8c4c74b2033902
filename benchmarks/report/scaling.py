"""Plots time against pixels: whether an artifact's cost grows linearly with them.

Drawn with Pillow, because a plotting library is a large dependency for one picture.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..result import BenchResult
from .captions import caption
from .number_format import megapixels

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 1100, 760  # of the PNG, in pixels
_SCALE = 2  # drawn larger and shrunk, since Pillow draws without anti-aliasing
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 70, 150  # margins around the axes
_TICKS = 8
_TEXT, _SMALL = 16, 13  # font sizes
_INK, _GRID, _PAPER = "#222222", "#dddddd", "#ffffff"
_COLOURS = (  # Okabe and Ito's palette for colour-blind readers
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One size: megapixels, and median and percentiles of `infer` in milliseconds."""

    megapixels: float
    median_ms: float
    p5_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Series:
    """An engine at all its sizes, the smallest first."""

    label: str
    points: tuple[Point, ...]


def scaling_series(result: BenchResult) -> tuple[Series, ...]:
    """The series to plot, in the order of the rows; none unless sizes were swept."""
    if not result.conditions.sizes:
        return ()
    found: dict[str, list[Point]] = {}
    for row in result.rows:
        if row.latency is not None:
            times = row.latency.infer
            point = Point(megapixels(row.latency.size), times.median_ms, times.p5_ms, times.p95_ms)
            found.setdefault(row.engine, []).append(point)
    return tuple(
        Series(label, tuple(sorted(points, key=lambda point: point.megapixels)))
        for label, points in found.items()
    )


def tick_step(largest: float) -> float:
    """The round distance of ticks (1, 2 or 5 times a power of ten) that gives at most `_TICKS`."""
    power = 10.0 ** math.floor(math.log10(largest / _TICKS))
    return next(m * power for m in (1, 2, 5, 10, 20) if m * power * _TICKS >= largest)


@dataclass(frozen=True)
class _Axes:
    """From megapixels and milliseconds to pixels of the drawing; both start at 0."""

    most_megapixels: float
    most_ms: float

    def at(self, megapixels: float, ms: float) -> tuple[float, float]:
        """(x, y) in the enlarged drawing."""
        across = (WIDTH - _LEFT - _RIGHT) * megapixels / self.most_megapixels
        up = (HEIGHT - _TOP - _BOTTOM) * ms / self.most_ms
        return _SCALE * (_LEFT + across), _SCALE * (HEIGHT - _BOTTOM - up)


def write_scaling(result: BenchResult, path: Path) -> None:
    """Write the plot as a PNG of `WIDTH` x `HEIGHT`.

    Raises:
        ValueError: no sizes were swept, or nothing was measured.
        OSError: it cannot be written.
    """
    from PIL import Image, ImageDraw

    series = scaling_series(result)
    if not series:
        raise ValueError("nothing to plot: no row of a sweep over sizes was measured")
    points = [point for line in series for point in line.points]
    axes = _Axes(
        1.05 * max(point.megapixels for point in points),
        1.05 * max(point.p95_ms for point in points),
    )
    image = Image.new("RGB", (_SCALE * WIDTH, _SCALE * HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    _draw_axes(draw, axes)
    for number, line in enumerate(series):
        _draw_series(draw, axes, line, number)
    _draw_texts(draw, result)
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path)


def _draw_axes(draw: ImageDraw, axes: _Axes) -> None:
    for along, most in (("x", axes.most_megapixels), ("y", axes.most_ms)):
        step = tick_step(most)
        for number in range(int(most / step) + 1):
            value = number * step
            text = f"{value:.6g}"
            if along == "x":
                start, stop = axes.at(value, 0), axes.at(value, axes.most_ms)
                _write(draw, (start[0], start[1] + 8 * _SCALE), text, _SMALL, anchor="ma")
            else:
                start, stop = axes.at(0, value), axes.at(axes.most_megapixels, value)
                _write(draw, (start[0] - 8 * _SCALE, start[1]), text, _SMALL, anchor="rm")
            draw.line([start, stop], fill=_GRID, width=_SCALE)
    corner = axes.at(0, 0)
    draw.line(
        [axes.at(0, axes.most_ms), corner, axes.at(axes.most_megapixels, 0)],
        fill=_INK,
        width=2 * _SCALE,
    )


def _draw_series(draw: ImageDraw, axes: _Axes, series: Series, number: int) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    places = [axes.at(point.megapixels, point.median_ms) for point in series.points]
    # Proportional to pixels, as the largest size says: what lies above it costs more per pixel.
    draw.line([axes.at(0, 0), places[-1]], fill=colour, width=_SCALE)
    draw.line(places, fill=colour, width=3 * _SCALE)
    for point, (x, y) in zip(series.points, places, strict=True):
        spread = [axes.at(point.megapixels, ms) for ms in (point.p5_ms, point.p95_ms)]
        draw.line(spread, fill=colour, width=2 * _SCALE)
        radius = 5 * _SCALE
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    left, top = _SCALE * (_LEFT + 20), _SCALE * (_TOP + 10 + 24 * number)
    draw.line([(left, top), (left + 30 * _SCALE, top)], fill=colour, width=3 * _SCALE)
    _write(draw, (left + 40 * _SCALE, top), series.label, _TEXT, anchor="lm")


def _draw_texts(draw: ImageDraw, result: BenchResult) -> None:
    head = "infer in ms: median, bars from the 5th to the 95th percentile"
    _write(draw, (_SCALE * _LEFT, _SCALE * 14), head, _TEXT)
    remark = "thin lines: proportional to pixels, through the largest size"
    _write(draw, (_SCALE * _LEFT, _SCALE * 38), remark, _SMALL)
    middle = _LEFT + (WIDTH - _LEFT - _RIGHT) / 2
    below = _SCALE * (HEIGHT - _BOTTOM + 30)
    label = "megapixels (height x width / 1 000 000)"
    _write(draw, (_SCALE * middle, below), label, _TEXT, anchor="ma")
    for number, line in enumerate(textwrap.wrap(caption(result), 150)[:4]):
        place = (_SCALE * 20, _SCALE * (HEIGHT - 84 + 19 * number))
        _write(draw, place, line, _SMALL)


def _write(
    draw: ImageDraw, place: tuple[float, float], text: str, size: int, *, anchor: str = "la"
) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(_SCALE * size)
    # Only Pillow builds without FreeType give the old bitmap font, which knows no anchors.
    scalable = isinstance(font, ImageFont.FreeTypeFont)
    draw.text(place, text, fill=_INK, font=font, anchor=anchor if scalable else None)
