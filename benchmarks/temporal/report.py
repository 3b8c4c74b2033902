"""Shows temporal scores: a table, or JSON."""

from __future__ import annotations

from typing import Any

from ...runtimes.command_line.console import console
from ..serialise import to_json_types
from .measure import TemporalResult
from .scores import Spread, TemporalRow

COLUMNS = (
    "engine", "E_warp x 1e-4", "x input", "added x 1e-6", "PSNR dB", "+-", "least",
    "vs PyTorch dB", "+-", "least", "dB per 100 frames",
)  # fmt: skip


def temporal_json(result: TemporalResult) -> dict[str, Any]:
    """The JSON object of ``deblur-bench --temporal --json``."""
    return {"temporal": to_json_types(result)}


def print_temporal(result: TemporalResult) -> None:
    """A table on standard output."""
    from rich.table import Table

    table = Table(title=_title(result))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "engine" else "right")
    base = result.rows[0].warping_error
    for row in result.rows:
        if row.error is None:
            table.add_row(*_cells(row, base))
    console().print(table)


def _title(result: TemporalResult) -> str:
    seen = "" if result.visible is None else f", flow trusted at {result.visible:.0%} of the pixels"
    return f"{result.data}: {result.frames} frames{seen}"


def _cells(row: TemporalRow, base: float | None) -> list[str]:
    error = row.warping_error
    ratio = "-" if error is None or not base else f"{error / base:.3f}"
    reference = row.against_reference
    return [
        row.label,
        "-" if error is None else f"{error * 1e4:.3f}",
        ratio,
        "-" if row.added_flicker is None else f"{row.added_flicker * 1e6:.3f}",
        *_spread(row.against_sharp),
        *_spread(reference),
        "-" if reference is None else f"{reference.slope_db:+.3f}",
    ]


def _spread(spread: Spread | None) -> list[str]:
    if spread is None:
        return ["-"] * 3
    return [f"{spread.mean_db:.2f}", f"{spread.std_db:.2f}", f"{spread.least_db:.2f}"]
