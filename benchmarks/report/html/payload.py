"""The numbers of a report's page, as plain JSON types that its script draws.

Every figure is a field of a result file; nothing is computed anew but gains (PSNR minus that of the
blurry picture).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...result import BenchResult, Latency, Row
from ..columns import (
    Column,
    columns_in_use,
    cost_columns,
    engine_name,
    measured_size,
    quality_columns,
)
from ..number_format import megapixels
from ..phone import notes


@dataclass(frozen=True)
class Source:
    """One result of the report: its name (a file's, never a path) and what was measured."""

    name: str
    result: BenchResult


@dataclass(frozen=True)
class TableRow:
    """One row: its number in the report, the result that it is from, and the cells' texts."""

    number: int
    source: str
    cells: tuple[str, ...]


def headings(sources: Sequence[Source]) -> tuple[str, ...]:
    """Headings of the one table, without columns that no row fills."""
    return tuple(column.heading for column in _columns(sources))


def table(sources: Sequence[Source]) -> list[TableRow]:
    """All rows of all results that measured something, in the order of the files."""
    columns = _columns(sources)
    return [
        TableRow(number, source.name, tuple(column.cell(row) for column in columns))
        for number, (source, row) in enumerate(_rows(sources))
    ]


def payload(sources: Sequence[Source]) -> dict[str, Any]:
    """What the charts are drawn from: one entry a row, with the numbers that it has."""
    several = len(sources) > 1
    return {"rows": [_entry(source, row, several=several) for source, row in _rows(sources)]}


def machine_lines(sources: Sequence[Source]) -> list[tuple[str, tuple[str, ...]]]:
    """For each result its name, and its notes: machine and conditions first."""
    return [(source.name, notes(source.result)) for source in sources]


def error_lines(sources: Sequence[Source]) -> list[str]:
    """What failed."""
    return [row.error for source in sources for row in source.result.rows if row.error]


def _rows(sources: Sequence[Source]) -> list[tuple[Source, Row]]:
    return [
        (source, row)
        for source in sources
        for row in source.result.rows
        if row.footprint or row.latency or row.quality
    ]


def _columns(sources: Sequence[Source]) -> list[Column]:
    sweep = any(source.result.conditions.sizes for source in sources)
    quality = [column for column in quality_columns() if column.heading != "engine"]
    rows = [row for _, row in _rows(sources)]
    return columns_in_use((*cost_columns(sweep=sweep), *quality), rows)


def _entry(source: Source, row: Row, *, several: bool) -> dict[str, Any]:
    name = engine_name(row)
    size = measured_size(row)
    label = f"{name} {size}" if source.result.conditions.sizes else name
    return {
        "label": f"{label} ({source.name})" if several else label,
        "engine": f"{name} ({source.name})" if several else name,
        "source": source.name,
        "bytes": row.footprint.bytes if row.footprint else None,
        "psnr_db": _finite(row.quality.psnr_db) if row.quality else None,
        "time": _time(row.latency) if row.latency else None,
        "scores": [
            {
                "name": score.name,
                "blurry_db": _finite(score.blurry_psnr_db),
                "gain_db": _finite(score.psnr_db - score.blurry_psnr_db),
            }
            for score in (row.quality.scores if row.quality else ())
            if math.isfinite(score.blurry_psnr_db)
        ],
    }


def _time(latency: Latency) -> dict[str, Any]:
    return {
        "median_ms": latency.infer.median_ms,
        "p5_ms": latency.infer.p5_ms,
        "p95_ms": latency.infer.p95_ms,
        "runs_ms": list(latency.infer_runs_ms),
        "megapixels": megapixels(latency.size),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
