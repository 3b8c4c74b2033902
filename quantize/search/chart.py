"""Chart of layer sensitivity: quality gained and time lost by keeping each layer in float."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...runtimes.files import replacing
from .sensitivity import LayerCost

_ROW, _LEFT, _BAR, _TOP = 18, 260, 420, 60
_BLUE, _ORANGE, _INK, _GREY = (0, 114, 178), (213, 94, 0), (20, 20, 20), (200, 200, 200)


def write_chart(costs: Sequence[LayerCost], path: Path, *, title: str, condition: str) -> None:
    """Draw one row per layer: residual SNR gained in float (blue), ms saved by int8 (orange).

    Args:
        costs: Rows, from top to bottom.
        path: A PNG file.
        title: What was measured.
        condition: Machine, size and threads; the caption.
    """
    from PIL import Image, ImageDraw, ImageFont

    small, large = ImageFont.load_default(12), ImageFont.load_default(16)
    width, height = _LEFT + 2 * _BAR + 60, _TOP + _ROW * len(costs) + 50
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((10, 8), title, _INK, large)
    draw.text((_LEFT, 36), "residual SNR gained when kept in float, dB", _BLUE, small)
    draw.text((_LEFT + _BAR + 30, 36), "time saved by 8 bits, ms", _ORANGE, small)
    columns = (
        ([cost.spared_snr_db for cost in costs], _LEFT, _BLUE, "{:+.2f}"),
        ([cost.saved_ms for cost in costs], _LEFT + _BAR + 30, _ORANGE, "{:+.2f}"),
    )
    for values, left, colour, form in columns:
        reach = max((abs(value) for value in values), default=0.0) or 1.0
        for row, value in enumerate(values):
            top = _TOP + row * _ROW
            length = int(max(value, 0.0) / reach * (_BAR - 60))
            draw.rectangle((left, top + 3, left + length, top + _ROW - 4), fill=colour)
            draw.text((left + length + 6, top + 1), form.format(value), _INK, small)
    for row, cost in enumerate(costs):
        draw.text((10, _TOP + row * _ROW + 1), cost.layer, _INK, small)
    draw.line((_LEFT, _TOP, _LEFT, _TOP + _ROW * len(costs)), fill=_GREY)
    draw.text((10, height - 30), condition, _INK, small)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
