"""The columns of all reports: headings with units, and the cells of a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..quality.scores import Drift, Quality
from ..result import BenchResult, Footprint, Latency, Row
from .number_format import (
    NONE,
    billions,
    decibels,
    mebibytes,
    megapixels,
    milliseconds,
    signed,
    speedup,
    spread,
)

_MIB = 1 << 20
_NAMES = ("engine", "HxW")  # columns that tell rows apart, in more than one table


@dataclass(frozen=True)
class Column:
    """A heading with its unit, and the text of a row's cell."""

    heading: str
    cell: Callable[[Row], str]


def cost_columns(*, sweep: bool = False) -> tuple[Column, ...]:
    """Size, arithmetic, time and memory."""
    times = time_columns(sweep=sweep)
    return (*size_columns(), *(column for column in times if column.heading not in _NAMES))


def size_columns() -> tuple[Column, ...]:
    """Size and arithmetic."""
    return (
        Column("engine", engine_name),
        Column("norm", lambda row: row.norm or NONE),
        Column("precision", lambda row: row.precision or NONE),
        Column("HxW", measured_size),
        Column("MiB", _footprint(lambda f: f"{f.bytes / _MIB:.2f}")),
        Column("params M", _footprint(lambda f: f"{f.params / 1e6:.2f}")),
        Column("GMACs conv", _footprint(lambda f: billions(f.macs, 2))),
        Column(
            "MiB moved",
            _footprint(lambda f: f"{f.bytes_moved / 2**20:.0f}" if f.bytes_moved else "-"),
        ),
        Column("GFLOPs = 2x", _footprint(lambda f: billions(f.flops, 1))),
    )


def engine_name(row: Row) -> str:
    """The engine's label, marked if an emulation of its runtime was measured."""
    return f"{row.engine} (emulated)" if row.emulated else row.engine


def time_columns(*, sweep: bool = False) -> tuple[Column, ...]:
    """Time and memory; ``sweep``: at several sizes."""
    per_size = (
        Column("HxW", measured_size),
        Column("ms per megapixel", _latency(lambda t: milliseconds(ms_per_megapixel(t)))),
    )
    return (
        Column("engine", engine_name),
        *(per_size[:1] if sweep else ()),
        Column("load ms", _latency(lambda t: milliseconds(t.load_ms))),
        Column("first ms", _latency(lambda t: milliseconds(t.first_ms))),
        Column("infer ms [p5, p95]", _latency(lambda t: spread(t.infer))),
        Column("GPU ms [p5, p95]", _latency(lambda t: spread(t.gpu) if t.gpu else NONE)),
        *(per_size[1:] if sweep else ()),
        Column("x baseline", lambda row: speedup(row.x_baseline)),
        Column("x stock", lambda row: speedup(row.x_stock)),
        Column("pictures/s", _latency(lambda t: _rate(t.pictures_per_s))),
        Column("deblur ms", _latency(lambda t: milliseconds(t.end_to_end.median_ms))),
        Column(
            "pre + post ms",
            _latency(
                lambda t: f"{milliseconds(t.pre.median_ms)} + {milliseconds(t.post.median_ms)}"
            ),
        ),
        Column("peak MiB", _latency(lambda t: mebibytes(t.peak_memory_bytes))),
        Column("GPU MiB", _latency(lambda t: mebibytes(t.device_memory_bytes))),
    )


def quality_columns() -> tuple[Column, ...]:
    """Against the sharp pictures, and against PyTorch."""
    return (
        Column("engine", engine_name),
        Column("PSNR dB", _quality(_mean_psnr)),
        Column("SSIM", _quality(lambda q: f"{q.ssim:.4f}")),
        Column("drift: delta PSNR dB", _quality(_delta_psnr)),
        Column("delta SSIM", _drift(lambda d: signed(d.delta_ssim, 5))),
        Column("PSNR to PyTorch dB", _drift(lambda d: decibels(d.pooled_psnr_db))),
        Column("residual SNR dB", _drift(lambda d: decibels(d.residual_snr_db))),
        Column(
            "worst picture dB",
            _drift(lambda d: f"{decibels(d.worst_psnr_db)} {d.worst_picture}"),
        ),
    )


def columns_in_use(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """The columns that at least one row fills."""
    return [column for column in columns if any(column.cell(row) != NONE for row in rows)]


def scored_rows(result: BenchResult) -> list[Row]:
    """Rows with quality, after a row for the blurry pictures."""
    scored = [row for row in result.rows if row.quality is not None]
    if not scored or scored[0].quality is None:
        return []
    first = scored[0].quality
    blurry = replace(
        first,
        psnr_db=first.blurry_psnr_db,
        ssim=first.blurry_ssim,
        drift=None,
        scores=tuple(replace(score, psnr_db=score.blurry_psnr_db) for score in first.scores),
    )
    return [Row(engine="(blurry pictures)", quality=blurry), *scored]


def ms_per_megapixel(latency: Latency) -> float:
    """Median `infer` in milliseconds over height * width / 1e6."""
    return latency.infer.median_ms / megapixels(latency.size)


def _rate(pictures_per_s: float | None) -> str:
    return NONE if pictures_per_s is None else f"{pictures_per_s:.2f}"


def _mean_psnr(quality: Quality) -> str:
    """The mean, infinite as soon as one picture is identical; then how many are."""
    identical = sum(score.psnr_db == math.inf for score in quality.scores)
    if quality.psnr_db != math.inf or identical == len(quality.scores):
        return decibels(quality.psnr_db)
    return f"infinite ({identical} of {quality.pictures} identical)"


def _delta_psnr(quality: Quality) -> str:
    """The mean, and how many pictures have none where that is so."""
    if quality.drift is None:
        return NONE
    drifts = [score.drift for score in quality.scores if score.drift is not None]
    without = sum(drift.delta_psnr_db is None for drift in drifts)
    delta = quality.drift.delta_psnr_db
    if delta is None:
        return f"none ({without} of {quality.pictures} infinite)"
    text = signed(delta, 3)
    return f"{text} ({without} of {quality.pictures} infinite, left out)" if without else text


def measured_size(row: Row) -> str:
    """HxW that the row was timed or counted at."""
    size = row.latency.size if row.latency else row.footprint.size if row.footprint else None
    return f"{size[0]}x{size[1]}" if size else NONE


def _footprint(write: Callable[[Footprint], str]) -> Callable[[Row], str]:
    return lambda row: NONE if row.footprint is None else write(row.footprint)


def _latency(write: Callable[[Latency], str]) -> Callable[[Row], str]:
    return lambda row: NONE if row.latency is None else write(row.latency)


def _quality(write: Callable[[Quality], str]) -> Callable[[Row], str]:
    return lambda row: NONE if row.quality is None else write(row.quality)


def _drift(write: Callable[[Drift], str]) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        drift = row.quality.drift if row.quality else None
        return NONE if drift is None else write(drift)

    return cell
