"""Writes a report folder: report.md, report.html, report.json, pictures, plot; or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ....runtimes.files import check_writable, replacing
from ...result import BenchResult, Row
from ..columns import (
    Column,
    columns_in_use,
    cost_columns,
    engine_name,
    quality_columns,
    scored_rows,
)
from ..degradations import degradation_table
from ..html.document import write_html
from ..html.payload import Source
from ..phone import notes, phone_columns, phone_rows
from ..pictures import EACH, INPUTS, PER_PICTURE, slug
from ..registry import FOLDER, Destination, ReportFormat
from ..scaling import scaling_series, write_scaling
from ..sizes import size_table
from .json_file import json_text

PICTURES = "pictures"
SCALING = "scaling.png"


def write_report(
    result: BenchResult,
    target: Path,
    pictures: Path | None,
    *,
    force: bool,
    full_quality: bool = False,
) -> None:
    """Write the report.

    Args:
        result: The rows.
        target: The folder to make.
        pictures: Folder with one folder of PNGs per row (named by `pictures.slug`); copied. None
            if there is none.
        force: Replace ``target`` if it exists.
        full_quality: Store report.html's pictures without loss.

    Raises:
        FileExistsError: ``target`` exists and ``force`` was not given.
        OSError: it cannot be written.
    """
    check_writable(target, force=force)
    with replacing(target) as temporary:
        temporary.mkdir()
        if pictures is not None and pictures.is_dir():
            others = shutil.ignore_patterns(EACH, INPUTS)  # for the page, which holds its own
            shutil.copytree(pictures, temporary / PICTURES, ignore=others)
        if scaling_series(result):
            write_scaling(result, temporary / SCALING)
        text = report_markdown(result, temporary / PICTURES)
        (temporary / "report.md").write_text(text, encoding="utf-8")
        (temporary / "report.json").write_text(json_text(result), encoding="utf-8")
        source = Source(target.name, result)
        page = temporary / "report.html"
        write_html(page, [source], pictures=pictures, full_quality=full_quality)


def report_markdown(result: BenchResult, pictures: Path) -> str:
    """The text of report.md; links the PNGs found in ``pictures``."""
    measured = [row for row in result.rows if row.footprint or row.latency or row.quality]
    scored = scored_rows(result)
    machine, *conventions = notes(result)
    parts = ["# Benchmark", "", machine, ""]
    sweep = bool(result.conditions.sizes)
    parts += ["## Cost", "", markdown_table(cost_columns(sweep=sweep), measured), ""]
    if scaling_series(result):
        parts += ["## Time against pixels", "", f"![]({SCALING})", ""]
    parts += _sizes(result.rows)
    if scored:
        parts += ["## Quality", "", markdown_table(quality_columns(), scored), ""]
    parts += _degradations(result)
    if phone_rows(result):
        parts += ["## On the phone", "", markdown_table(phone_columns(), phone_rows(result)), ""]
    parts += [f"- {line}" for line in conventions] + [""]
    errors = [row for row in result.rows if row.error is not None]
    if errors:
        parts += ["## Errors", "", *(f"- {row.error}" for row in errors), ""]
    parts += _gallery(result.rows, pictures)
    return "\n".join(parts)


def _degradations(result: BenchResult) -> list[str]:
    table = degradation_table(result)
    remark = "Mean PSNR in dB; in brackets, the gain over the degraded pictures."
    return ["## Quality by degradation", "", *_plain(table), "", remark, ""] if table else []


def _sizes(rows: Sequence[Row]) -> list[str]:
    table = size_table(rows)
    if not table:
        return []
    remark = "MB are 10^6 bytes; in brackets, the share of the same format's float32 file."
    return ["## Download size", "", *_plain(table), "", remark, ""]


def _plain(table: Sequence[Sequence[str]]) -> list[str]:
    """Cells as a table, headings first."""
    lines = ["| " + " | ".join(_escape(cell) for cell in cells) + " |" for cells in table]
    return [lines[0], "|---" + "|---:" * (len(table[0]) - 1) + "|", *lines[1:]]


def markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """A GitHub-style table, without columns that no row fills."""
    columns = columns_in_use(columns, rows)
    lines = [
        "| " + " | ".join(_escape(column.heading) for column in columns) + " |",
        "|" + "|".join("---" if number == 0 else "---:" for number in range(len(columns))) + "|",
    ]
    for row in rows:
        lines.append("| " + " | ".join(_escape(column.cell(row)) for column in columns) + " |")
    return "\n".join(lines)


def _gallery(rows: Sequence[Row], pictures: Path) -> list[str]:
    """Each row's pictures side by side: before, after, sharp, amplified difference."""
    parts: list[str] = []
    for row in rows:
        files = sorted((pictures / slug(row.engine)).glob("*.png"))
        if files:
            parts += [f"### {engine_name(row)}", ""]
        # Sorted by name, the four pictures of one photograph follow each other.
        for start in range(0, len(files), PER_PICTURE):
            parts += [*_strip(files[start : start + PER_PICTURE], slug(row.engine)), ""]
    if not parts:
        return []
    remark = (
        "The first picture and the worst. Differences are amplified by the factor in their name: "
        "`to torch` is the distance to PyTorch's output, `to sharp` that to the sharp picture."
    )
    return ["## Pictures", "", remark, "", *parts]


def _strip(files: Sequence[Path], folder: str) -> list[str]:
    """Pictures side by side, their file names as headings."""
    return [
        "| " + " | ".join(file.stem.replace("_", " ") for file in files) + " |",
        "|" + "---|" * len(files),
        "| " + " | ".join(f"![]({PICTURES}/{folder}/{file.name})" for file in files) + " |",
    ]


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _write(result: BenchResult, to: Destination) -> None:
    write_report(result, Path(to.target), to.pictures, force=to.force, full_quality=to.full_quality)


FORMAT = ReportFormat(FOLDER, _write)
