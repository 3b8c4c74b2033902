"""Prints a comparison of layers as a table with bars, and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...runtimes.command_line.console import console
from .compare import FALL_DB

if TYPE_CHECKING:
    from .bisect import FloatSet
    from .compare import Comparison, LayerDrift

_BAR_DB = 4.0  # dB a character
_WIDEST = 30


def body(comparison: Comparison, found: FloatSet | None) -> dict[str, Any]:
    """Plain JSON types; infinite SNR (equal outputs) is null."""
    first = comparison.first_fall
    return {
        "layers": [
            {
                "layer": layer.name,
                "snr_db": _finite(layer.snr_db),
                "inputs_db": _finite(layer.inputs_db),
                "fall_db": _finite(layer.fall_db),
                "shapes_differ": layer.shapes_differ,
            }
            for layer in comparison.layers
        ],
        "first_fall": first.name if first else None,
        "only_in_the_reference": list(comparison.only_first),
        "only_in_the_artifact": list(comparison.only_second),
        "float_layers": list(found.layers) if found else None,
        "float_layers_suffice": found.met if found else None,
    }


def print_comparison(comparison: Comparison, caption: str) -> None:
    """A line a layer, and which falls first."""
    from rich.table import Table
    from rich.text import Text

    first = comparison.first_fall
    table = Table(title="Layers", caption=caption, title_justify="left")
    table.add_column("layer", overflow="fold")
    table.add_column("SNR dB", justify="right")
    table.add_column("falls by dB", justify="right")
    table.add_column("SNR", min_width=_WIDEST, no_wrap=True)
    for layer in comparison.layers:
        style = "bold red" if first and layer.name == first.name else ""
        fall = f"{layer.fall_db:.1f}" if layer.fall_db > 0 else ""
        table.add_row(Text(layer.name, style), snr_text(layer), fall, _bar(layer.snr_db))
    console().print(table)
    for where, names in (
        ("reference", comparison.only_first),
        ("artifact", comparison.only_second),
    ):
        if names:
            console().print(f"only in the {where}: {', '.join(names)}", markup=False)
    if first is None:
        console().print(f"No layer's SNR falls by more than {FALL_DB:g} dB.", markup=False)
    else:
        console().print(
            f"The first layer whose SNR falls by more than {FALL_DB:g} dB: {first.name}",
            markup=False,
        )


def print_float_set(found: FloatSet) -> None:
    """The result of the search for layers to keep in float."""
    drop = found.drop
    figures = f"drop {drop.psnr_drop_db:+.3f} dB, residual SNR {drop.residual_snr_db:.2f} dB"
    names = ", ".join(found.layers) or "none"
    text = (
        f"Layers that must stay in float: {names} ({figures})"
        if found.met
        else f"Not even all of these in float suffice: {names} ({figures})"
    )
    console().print(text, markup=False)


def snr_text(layer: LayerDrift) -> str:
    """A layer's SNR for people."""
    if layer.shapes_differ:
        return "shapes differ"
    return "equal" if layer.snr_db == math.inf else f"{layer.snr_db:.1f}"


def _bar(snr_db: float) -> str:
    return (
        "#" * max(0, min(_WIDEST, round(snr_db / _BAR_DB))) if snr_db < math.inf else "=" * _WIDEST
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
