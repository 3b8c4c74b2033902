"""Draws a comparison of layers as a picture: one bar a layer, the first fall in colour.

Drawn with Pillow, because a plotting library is a large dependency for one picture.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.files import replacing
from .compare import FALL_DB
from .show import snr_text

if TYPE_CHECKING:
    from PIL import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from .compare import Comparison, LayerDrift

    Font = FreeTypeFont | ImageFont

WIDTH, ROW = 1000, 18  # of the PNG and of one bar, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 320, 70, 64, 40
_TICK_DB = 20
_BLUE, _ORANGE, _INK, _GRID = (0, 114, 178), (213, 94, 0), (34, 34, 34), (221, 221, 221)


def write_chart(comparison: Comparison, caption: str, path: Path) -> None:
    """Write a PNG: each layer's SNR in dB, in the network's order.

    A layer whose outputs are equal gets a full bar, one whose shapes differ none; both say so.

    Raises:
        OSError: ``path`` cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    small, large = ImageFont.load_default(12), ImageFont.load_default(16)
    rows = comparison.layers
    most = top_db([row.snr_db for row in rows])
    bottom = _TOP + ROW * len(rows)
    picture = Image.new("RGB", (WIDTH, bottom + _BOTTOM), "white")
    draw = ImageDraw.Draw(picture)
    scale = (WIDTH - _LEFT - _RIGHT) / most
    for tick in range(0, most + 1, _TICK_DB):
        x = _LEFT + scale * tick
        draw.line((x, _TOP, x, bottom), fill=_GRID)
        draw.text((x - 8, bottom + 6), f"{tick}", _INK, small)
    draw.text((_LEFT, bottom + 22), "signal-to-noise ratio, dB", _INK, small)
    first = comparison.first_fall
    for number, row in enumerate(rows):
        y = _TOP + ROW * number
        colour = _ORANGE if first is not None and row.name == first.name else _BLUE
        length = scale * min(max(_shown_db(row), 0.0), most)
        draw.rectangle((_LEFT, y + 3, _LEFT + length, y + ROW - 4), fill=colour)
        name = _shortened(row.name, draw, small)
        draw.text((_LEFT - 8 - draw.textlength(name, small), y + 1), name, colour, small)
        draw.text((_LEFT + length + 6, y + 1), snr_text(row), _INK, small)
    title = (
        f"No layer's SNR falls by more than {FALL_DB:g} dB"
        if first is None
        else f"The first layer whose SNR falls by more than {FALL_DB:g} dB: {first.name}"
    )
    draw.text((10, 10), title, _INK, large)
    draw.text((10, 36), caption, _INK, small)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def top_db(values: list[float]) -> int:
    """Where the axis ends: the next multiple of 20 dB above every finite value, at least 20."""
    finite = [value for value in values if math.isfinite(value)]
    return max(_TICK_DB, math.ceil(max(finite, default=0.0) / _TICK_DB) * _TICK_DB)


def _shown_db(row: LayerDrift) -> float:
    return 0.0 if row.shapes_differ else row.snr_db


def _shortened(name: str, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """The end of a name that is too long: it tells layers apart."""
    shown = name
    while draw.textlength(shown, font) > _LEFT - 24:
        shown = "..." + shown[4:]
    return shown
