"""What the columns of a result are called and how its numbers are written, for all reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..environment import RUNTIMES
from ..result import (
    BenchResult,
    Conditions,
    Drift,
    Footprint,
    Latency,
    Quality,
    Row,
    Spread,
)

_MIB = 1 << 20
NONE = "-"
_NAMES = ("engine", "HxW")  # columns that tell rows apart, in more than one table


@dataclass(frozen=True)
class Column:
    """A heading with its unit, and how a row fills it."""

    heading: str
    cell: Callable[[Row], str]


def cost_columns(*, sweep: bool = False) -> tuple[Column, ...]:
    """Size, arithmetic, time and memory."""
    times = time_columns(sweep=sweep)
    return (*size_columns(), *(column for column in times if column.heading not in _NAMES))


def size_columns() -> tuple[Column, ...]:
    """What the artifact is: size and arithmetic."""
    return (
        Column("engine", engine_name),
        Column("norm", lambda row: row.norm or NONE),
        Column("precision", lambda row: row.precision or NONE),
        Column("HxW", _size),
        Column("MiB", _footprint(lambda f: f"{f.bytes / _MIB:.2f}")),
        Column("params M", _footprint(lambda f: f"{f.params / 1e6:.2f}")),
        Column("GMACs conv", _footprint(lambda f: _billions(f.macs, 2))),
        Column(
            "MiB moved",
            _footprint(lambda f: f"{f.bytes_moved / 2**20:.0f}" if f.bytes_moved else "-"),
        ),
        Column("GFLOPs = 2x", _footprint(lambda f: _billions(f.flops, 1))),
    )


def engine_name(row: Row) -> str:
    """The engine, marked if only an imitation of its runtime was measured."""
    return f"{row.engine} (emulated)" if row.emulated else row.engine


def _billions(count: int | None, digits: int) -> str:
    return NONE if count is None else f"{count / 1e9:.{digits}f}"


def time_columns(*, sweep: bool = False) -> tuple[Column, ...]:
    """What it took: time and memory; ``sweep``: at several sizes."""
    per_size = (
        Column("HxW", _size),
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
        Column("x baseline", lambda row: times_faster(row.x_baseline)),
        Column("x stock", lambda row: times_faster(row.x_stock)),
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


def filled(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """The columns that at least one row has something for."""
    return [column for column in columns if any(column.cell(row) != NONE for row in rows)]


def scored_rows(result: BenchResult) -> list[Row]:
    """Rows with quality, and before them the blurry pictures as if they were an engine's."""
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


def caption(result: BenchResult) -> str:
    """One line: machine, threads, size, protocol and data."""
    machine, conditions, data = result.environment, result.conditions, result.data
    where = machine.cpu if conditions.device == "cpu" else f"{machine.gpu} with {machine.cpu}"
    versions = ", ".join(
        f"{name} {machine.packages[name]}" for name in RUNTIMES if name in machine.packages
    )
    return (
        f"{where}, {conditions.threads} threads, {conditions.device}; {machine.os}, {versions}; "
        f"{_sizes(conditions)}, batch 1; "
        f"protocol {conditions.protocol}; {data_line(result)}, "
        f"list {data.list_sha256[:12]}; {result.measured_on}"
    )


def data_line(result: BenchResult) -> str:
    """Name, layout, split and number of pairs."""
    data = result.data
    return f"{data.name} ({data.layout}, {data.split}): {data.pairs} pairs"


def conventions(result: BenchResult) -> tuple[str, ...]:
    """What the numbers mean; below every table."""
    from ...runtimes.compare import SSIM_NAME

    times = next((row.latency for row in result.rows if row.latency), None)
    lines = [
        "GMACs: convolutions and matrix products only, counted from the file; "
        "GFLOPs are twice that.",
        f"PSNR: uint8 RGB, whole picture, data range 255, mean over pictures. {SSIM_NAME}. "
        "drift: against the same checkpoint in PyTorch fp32, cut and padded alike. "
        "residual SNR: on output - input, floats. PSNR to PyTorch and residual SNR pool the "
        "pictures' squared errors.",
    ]
    if times is not None:
        lines.insert(
            1,
            f"Times: {_runs(result.conditions, times)}; "
            "infer: float array to float array; deblur: uint8 picture to uint8 picture; load: "
            "file to ready, its hash checked, imports apart. "
            f"Memory: {times.memory_method} up to the end of timing.",
        )
    if any(row.latency and row.latency.gpu for row in result.rows):
        lines.append(
            "GPU: the arithmetic alone, by CUDA events, copies left out. GPU MiB: what the GPU's "
            "free memory fell by."
        )
    lines += [f"{row.engine}: {row.verified}." for row in result.rows if row.verified]
    if any(row.emulated for row in result.rows):
        lines.append(
            "emulated: the artifact's runtime does not exist on this machine, so its saved program "
            "was interpreted operation by operation; it has no times."
        )
    lines += _ratio_lines(result.rows)
    paper = [(row, row.footprint) for row in result.rows if row.footprint]
    lines += [
        f"{row.engine} by the DeblurGAN-v2 paper's count (element-wise work too, backbone twice): "
        f"{footprint.macs_paper / 1e9:.2f} G at {_size(row)}."
        for row, footprint in paper
        if footprint.macs_paper is not None
    ]
    if result.conditions.protocol == "paper":
        lines.append("Protocol paper: zero-padded right and bottom, truncated to uint8.")
    else:
        lines.append("Protocol edge: reflect-padded to multiples of 32, rounded to uint8.")
    return tuple(lines)


def _sizes(conditions: Conditions) -> str:
    sizes = conditions.sizes or (conditions.size,)
    names = ", ".join(f"{height}x{width}" for height, width in sizes)
    return names if conditions.sizes else f"{names} where the size is free"


def _runs(conditions: Conditions, times: Latency) -> str:
    after = f"after the first and {times.warmup} more"
    if conditions.rounds == 1:
        return f"median of {times.runs} runs {after}"
    return (
        f"median of {times.runs} runs, {conditions.runs} of each of {conditions.rounds} processes "
        f"{after}; the rows took turns"
    )


def _ratio_lines(rows: Sequence[Row]) -> list[str]:
    """What the ratio columns are divided by, for those that are there."""
    same = "over the row's own, same checkpoint, size and threads, measured along"
    lines: list[str] = []
    if any(row.x_baseline is not None for row in rows):
        lines.append(
            f"x baseline: the baseline's infer median {same}; baseline: PyTorch eager as the "
            "original code infers, nothing folded, norms in training arithmetic."
        )
    if any(row.x_stock is not None for row in rows):
        lines.append(
            f"x stock: the stock route's infer median {same}, in the same runtime and precision; "
            "stock: the generator in eval mode, norms frozen, by torch.onnx.export with its "
            "defaults and fixed sides, and nothing else."
        )
    return lines


def ms_per_megapixel(latency: Latency) -> float:
    """Median `infer` in milliseconds over height * width / 1e6."""
    return latency.infer.median_ms / megapixels(latency.size)


def megapixels(size: tuple[int, int]) -> float:
    """Height * width / 1e6."""
    return size[0] * size[1] / 1e6


def times_faster(value: float | None) -> str:
    """Two decimals."""
    return NONE if value is None else f"{value:.2f}"


def milliseconds(value: float) -> str:
    """Four significant digits at most."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def spread(value: Spread) -> str:
    """``median [p5, p95]``."""
    low, high = milliseconds(value.p5_ms), milliseconds(value.p95_ms)
    return f"{milliseconds(value.median_ms)} [{low}, {high}]"


def _rate(pictures_per_s: float | None) -> str:
    return NONE if pictures_per_s is None else f"{pictures_per_s:.2f}"


def decibels(value: float) -> str:
    """Two decimals; identical pictures have no finite PSNR."""
    return "identical" if value == math.inf else f"{value:.2f}"


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


def signed(value: float, digits: int) -> str:
    """With its sign, except that nothing is ever written as -0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def mebibytes(value: int | None) -> str:
    """Whole mebibytes."""
    return NONE if value is None else f"{value / _MIB:.0f}"


def _size(row: Row) -> str:
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
