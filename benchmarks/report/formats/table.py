"""Prints a result as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....runtimes.command_line.console import console as console_of
from ...result import BenchResult, Row
from ..columns import (
    Column,
    columns_in_use,
    quality_columns,
    scored_rows,
    size_columns,
    time_columns,
)
from ..degradations import degradation_table
from ..phone import notes, phone_columns, phone_rows
from ..registry import Destination, ReportFormat

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_tables(result: BenchResult, console: Console) -> None:
    """Size, time, and quality where it was measured; machine, data and conventions below."""
    measured = [row for row in result.rows if row.footprint or row.latency or row.quality]
    if measured:
        console.print(_table("Size and arithmetic", size_columns(), measured))
        timed = [row for row in measured if row.latency is not None]
        if timed:
            columns = time_columns(sweep=bool(result.conditions.sizes))
            console.print(_table("Time and memory", columns, timed))
    scored = scored_rows(result)
    if scored:
        console.print(_table("Quality", quality_columns(), scored))
    if by_kind := degradation_table(result):
        console.print(_cells("Quality by degradation: PSNR in dB (gain)", by_kind))
    if phone_rows(result):
        console.print(_table("On the phone", phone_columns(), phone_rows(result)))
    if measured:
        for line in notes(result):
            console.print(line, markup=False)


def _cells(title: str, cells: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(cells[0]):
        table.add_column(heading, justify="left" if number == 0 else "right", overflow="fold")
    for row in cells[1:]:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _table(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    columns = columns_in_use(columns, rows)
    for number, column in enumerate(columns):
        first = number == 0
        table.add_column(
            column.heading,
            justify="left" if first else "right",
            min_width=24 if first else None,
            overflow="fold",
        )
    for row in rows:
        # Text, so that brackets in cells are not taken for Rich's markup.
        table.add_row(*(Text(column.cell(row)) for column in columns))
    return table


def _write(result: BenchResult, _to: Destination) -> None:
    """To standard output, which is where tables are for."""
    print_tables(result, console_of())


FORMAT = ReportFormat("table", _write)
