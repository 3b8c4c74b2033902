"""Columns and notes of results from phones."""

from __future__ import annotations

from collections.abc import Callable

from ..result import BenchResult, PhoneRun, Row
from .browser import browser_notes, is_from_browser
from .captions import caption, conventions
from .columns import Column
from .number_format import NONE, decibels, milliseconds

THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


def phone_rows(result: BenchResult) -> list[Row]:
    """The rows that a phone measured."""
    return [row for row in result.rows if row.phone is not None]


def phone_columns() -> tuple[Column, ...]:
    """Parity on the phone, and its sustained run."""
    return (
        Column("engine", lambda row: row.engine),
        Column("PSNR to PyTorch dB", _parity(lambda p: decibels(p.psnr_db))),
        Column("residual SNR dB", _parity(lambda p: decibels(p.residual_snr_db))),
        Column("largest difference", _parity(lambda p: f"{p.max_abs:.4f}")),
        Column("sustained s", _phone(lambda p: f"{p.sustained[-1].at_s:.0f}")),
        Column("ms at first", _phone(lambda p: milliseconds(p.sustained[0].median_ms))),
        Column("ms at last", _phone(lambda p: milliseconds(p.sustained[-1].median_ms))),
        Column("thermal status", _phone(_highest_thermal_status)),
        Column("battery mA", _phone(_current)),
    )


def notes(result: BenchResult) -> tuple[str, ...]:
    """Notes below every table: machine and conditions first, then what the numbers mean."""
    if phone_rows(result):
        return (_caption(result), *_conventions(result))
    if is_from_browser(result):
        return browser_notes(result)
    return (caption(result), *conventions(result))


def _caption(result: BenchResult) -> str:
    """One line: phone, versions, picture and date."""
    machine = result.environment
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    memory = f", {machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    return (
        f"{machine.cpu}, {machine.cores} cores{memory}; {machine.os}, {versions}; batch 1; "
        f"{result.data.name}; {result.measured_on}"
    )


def _conventions(result: BenchResult) -> tuple[str, ...]:
    lines = [
        f"{row.engine}: median of {row.latency.runs} runs after the first and "
        f"{row.latency.warmup} more. {row.phone.ran}"
        for row in result.rows
        if row.latency is not None and row.phone is not None
    ]
    return (
        *lines,
        "Measured by the Android app. infer: the interpreter alone, buffer to buffer; deblur: "
        "packed pixels to packed pixels, one picture of the model's own size; load: file to ready.",
        "GMACs: convolutions only, from the manifest; GFLOPs are twice that.",
        "PSNR to PyTorch: of the golden picture, uint8 RGB, data range 255; residual SNR: on "
        "output - input, floats; largest difference: floats in [-1, 1].",
        "ms at first and at last: medians of the sustained run's first and last few seconds; "
        "thermal status: the highest that Android reported; battery mA: mean current, as the phone "
        "counts it.",
    )


def _highest_thermal_status(run: PhoneRun) -> str:
    known = [s.thermal_status for s in run.sustained if s.thermal_status is not None]
    if not known:
        return NONE
    status = max(known)
    return THERMAL[status] if 0 <= status < len(THERMAL) else str(status)


def _current(run: PhoneRun) -> str:
    known = [s.current_ua for s in run.sustained if s.current_ua is not None]
    return f"{sum(known) / len(known) / 1000:.0f}" if known else NONE


def _phone(write: Callable[[PhoneRun], str]) -> Callable[[Row], str]:
    return lambda row: write(row.phone) if row.phone and row.phone.sustained else NONE


def _parity(write: Callable[..., str]) -> Callable[[Row], str]:
    return lambda row: write(row.phone.parity) if row.phone and row.phone.parity else NONE
