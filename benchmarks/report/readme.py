"""The tables of README.md and of pages in docs, from the JSON files of ``benchmarks/results``.

Each file is what ``deblur-bench --json FILE`` wrote; its name says the condition, as in
``samples_mobilenet_736x1280_2threads_cpu.json``. The artifacts in ``elsewhere_*`` cannot run on the
machine that measured them: they were emulated, or verified at export by a stand-in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ..result import BenchResult, Row, read_result
from .captions import caption
from .columns import Column, cost_columns, quality_columns
from .formats.markdown import markdown_table

Select = Callable[[Sequence[Row]], list[Row]]
_WANTED = (
    "engine",
    "norm",
    "HxW",
    "MiB",
    "GMACs conv",
    "infer ms [p5, p95]",
    "ms per megapixel",
    "x baseline",
    "x stock",
    "peak MiB",
    "PSNR dB",
    "SSIM",
    "drift: delta PSNR dB",
    "residual SNR dB",
)
_ELSEWHERE = "elsewhere_"
# Of files for other machines, and of the pages about single formats.
_FORMAT = (
    "engine",
    "MiB",
    "infer ms [p5, p95]",
    "x stock",
    "peak MiB",
    "drift: delta PSNR dB",
    "PSNR to PyTorch dB",
    "worst picture dB",
    "residual SNR dB",
)
# The README shows one size and the deciding columns.
_SUMMARY_FILES = "samples_*_736x1280_*.json"
_SUMMARY = (
    "engine",
    "MiB",
    "infer ms [p5, p95]",
    "x baseline",
    "x stock",
    "PSNR dB",
    "drift: delta PSNR dB",
    "residual SNR dB",
)


def summary_markdown(results_dir: Path) -> str:
    """The README's columns and the rows of `fastest`, otherwise as `results_table_markdown`."""
    return _tables(results_dir, _SUMMARY_FILES, _SUMMARY, fastest)


def fastest(rows: Sequence[Row]) -> list[Row]:
    """The fastest row of each kind, in the order given.

    A kind is a runtime with one of: the baseline, our float exports, our int8 exports. The PyTorch
    reference, which is there for its quality, and the stock exports, which the column of ratios
    tells, are left out.
    """
    best: dict[tuple[str | None, str | None, bool], Row] = {}
    for row in rows:
        kind = (row.runtime, row.baseline, (row.target or "").endswith("-int8"))
        if row.is_reference or row.baseline == "stock" or row.latency is None:
            continue
        held = best.get(kind)
        if held is None or _median_ms(row) < _median_ms(held):
            best[kind] = row
    return [row for row in rows if any(row is kept for kept in best.values())]


def _median_ms(row: Row) -> float:
    return math.inf if row.latency is None else row.latency.infer.median_ms


def results_table_markdown(results_dir: Path) -> str:
    """One table per result file, in the order of the names, each with its condition above.

    Raises:
        FileNotFoundError: no result files in the folder.
        ValueError: a file is not a result of this schema version, or holds rows that failed.
    """
    return _tables(results_dir, "*.json", _WANTED, list)


def format_markdown(results_dir: Path, formats: Sequence[str]) -> str:
    """The rows of these formats (the part of a target's name before the dash), all networks in one.

    One table for each machine, day and data set that files were measured on, its caption above.

    Raises:
        FileNotFoundError, ValueError: as `results_table_markdown`.
    """
    by_caption: dict[str, list[Row]] = {}
    for file in _files(results_dir, "*.json"):
        result = _read(file)
        rows = [
            row
            for row in result.rows
            if row.target and row.target.split("-")[0] in formats
            if row.footprint is not None
        ]
        if rows and not result.conditions.sizes:
            by_caption.setdefault(caption(result), []).extend(rows)
    known = {column.heading: column for column in (*cost_columns(), *quality_columns())}
    columns = tuple(known[heading] for heading in _FORMAT)
    tables = [
        "\n".join([f"{told}.", "", markdown_table(columns, rows), *_verified(rows)])
        for told, rows in by_caption.items()
    ]
    return "\n\n".join(tables) + "\n"


def _verified(rows: Sequence[Row]) -> list[str]:
    """What stands below a table of artifacts that did not run."""
    lines = [f"- `{row.engine}`: {row.verified}." for row in rows if row.verified]
    return ["", *lines] if lines else []


def _tables(results_dir: Path, pattern: str, wanted: tuple[str, ...], select: Select) -> str:
    files = _files(results_dir, pattern)
    return "\n\n".join(_table(file, wanted, select) for file in files) + "\n"


def _files(results_dir: Path, pattern: str) -> list[Path]:
    files = sorted(results_dir.glob(pattern))
    if not files:
        raise FileNotFoundError(
            f"{results_dir}: no results; write one with deblur-bench --json FILE"
        )
    return files


def _read(file: Path) -> BenchResult:
    result = read_result(file)
    failed = [row.engine for row in result.rows if row.error is not None]
    if failed:
        raise ValueError(
            f"{file}: {failed[0]} failed in this result; measure again before publishing it"
        )
    return result


def _table(file: Path, wanted: tuple[str, ...], select: Select) -> str:
    result = _read(file)
    if file.name.startswith(_ELSEWHERE):
        wanted = (*wanted, "PSNR to PyTorch dB", "worst picture dB")
    rows = [row for row in result.rows if row.footprint is not None]
    blurry = next((row.quality for row in rows if row.quality is not None), None)
    lines = [f"{caption(result)}.", "", markdown_table(_columns(result, wanted), select(rows))]
    lines += _verified(rows)
    if blurry is not None:
        lines += [
            "",
            f"The blurry pictures: {blurry.blurry_psnr_db:.2f} dB, SSIM {blurry.blurry_ssim:.4f}.",
        ]
    return "\n".join(lines)


def _columns(result: BenchResult, wanted: tuple[str, ...]) -> tuple[Column, ...]:
    """Those wanted; those that no row fills are dropped when the table is made."""
    costs = cost_columns(sweep=bool(result.conditions.sizes))
    known = {column.heading: column for column in (*costs, *quality_columns())}
    return tuple(known[heading] for heading in wanted if heading in known)
