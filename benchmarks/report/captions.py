"""Captions of a report's tables: conditions, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Sequence

from ..environment import RUNTIMES
from ..result import BenchResult, Conditions, Latency, Row
from .columns import measured_size
from .slow_int8 import slow_int8_lines


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
    """What the numbers mean, one line each; printed below every table."""
    from ...runtimes.compare import SSIM_NAME

    times = next((row.latency for row in result.rows if row.latency), None)
    lines = [
        "GMACs: convolutions and matrix products only, counted from the file; "
        "GFLOPs are twice that.",
        f"PSNR: uint8 RGB, whole picture, data range 255, mean over pictures. {SSIM_NAME}. "
        "drift: against the same checkpoint in PyTorch fp32, with the same tiles and padding. "
        "residual SNR: on output - input, floats. PSNR to PyTorch and residual SNR pool the "
        "pictures' squared errors.",
    ]
    if times is not None:
        lines.insert(
            1,
            f"Times: {_runs(result.conditions, times)}; "
            "infer: float array to float array; deblur: uint8 picture to uint8 picture; load: "
            "file to ready, with the check of its hash, without imports. "
            f"Memory: {times.memory_method} up to the end of timing.",
        )
    if any(row.latency and row.latency.gpu for row in result.rows):
        lines.append(
            "GPU: the arithmetic alone, by CUDA events, without copies. GPU MiB: the largest drop "
            "of the GPU's free memory."
        )
    lines += [f"{row.engine}: {row.verified}." for row in result.rows if row.verified]
    if any(row.emulated for row in result.rows):
        lines.append(
            "emulated: the artifact's runtime does not exist on this machine, so an interpreter "
            "ran its saved program; it has no times."
        )
    lines += slow_int8_lines(result.rows)
    lines += _ratio_lines(result.rows)
    paper = [(row, row.footprint) for row in result.rows if row.footprint]
    lines += [
        f"{row.engine} by the DeblurGAN-v2 paper's count (element-wise work too, backbone twice): "
        f"{footprint.macs_paper / 1e9:.2f} G at {measured_size(row)}."
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
        f"{after}; the rows take turns"
    )


def _ratio_lines(rows: Sequence[Row]) -> list[str]:
    """What the ratio columns mean, for those in use."""
    same = "over the row's, for the same checkpoint, size and threads, measured in this call"
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
