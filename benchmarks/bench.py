"""Measures several artifacts, each in its own process, next to their PyTorch references."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..runtimes.command_line.console import progress_bar
from .baselines.baselines import baseline_entries
from .baselines.ratios import with_ratios
from .plan import Entry, Request, engine_entries, read_engines
from .result import Row
from .timing.rounds import timed_rows
from .workers.jobs import Job, run_job


def run_bench(request: Request) -> tuple[Row, ...]:
    """Measure all rows; a row that fails holds its error, and the others continue.

    Times come first, row after row, because scoring the pictures takes minutes in which the
    machine's speed drifts.

    Raises:
        ValueError: no engines or no pictures, or an unknown baseline.
        FileNotFoundError: a file of ``--checkpoint`` does not exist.
    """
    checked(request)
    with tempfile.TemporaryDirectory(prefix="edgedeblur-stock-") as folder:
        engines = read_engines(request)
        entries = engine_entries(request, engines)
        entries = [*baseline_entries(request, engines, entries, Path(folder)), *entries]
        rows = _timing_pass(request, entries)
        if request.quality:
            rows = quality_pass(request, entries, rows)
    return with_ratios(rows)


def checked(request: Request) -> None:
    """Refuse a request that cannot be measured; see `run_bench`."""
    if not request.engines or not request.pictures:
        raise ValueError("nothing to measure: give at least one --engine, and data with pairs")
    for path in request.checkpoints:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint; check --checkpoint")


def _timing_pass(request: Request, entries: Sequence[Entry]) -> list[Row]:
    """Time, memory and footprint; rows stay empty if only quality was requested."""
    rows = [Row(engine=entry.label, error=entry.error) for entry in entries]
    if request.quality and not request.latency:
        return rows
    ready = [number for number, entry in enumerate(entries) if entry.job is not None]
    jobs = [dataclasses.replace(job, quality=False) for entry in entries if (job := entry.job)]
    measured = timed_rows(jobs, request.conditions.rounds, run_job)
    for number, row in zip(ready, measured, strict=True):
        rows[number] = row
    return rows


def quality_pass(request: Request, entries: Sequence[Entry], rows: Sequence[Row]) -> list[Row]:
    """Quality, grouped by reference, so that the disk holds one reference's outputs at a time."""
    rows = list(rows)
    for key in dict.fromkeys(entry.key for entry in entries):
        group = [number for number, entry in enumerate(entries) if entry.key == key]
        group.sort(key=lambda number: not _is_reference(entries[number]))
        with tempfile.TemporaryDirectory(prefix="edgedeblur-reference-") as folder:
            reference_failed = False
            for number in group:
                job = entries[number].job
                if job is None or rows[number].error is not None:
                    reference_failed = reference_failed or _is_reference(entries[number])
                    continue
                if reference_failed:
                    rows[number] = _row_without_reference(request, job, rows[number])
                    continue
                folder_name = folder if key is not None else None
                rows[number] = _with_quality(request, job, rows[number], folder_name)
                reference_failed = _is_reference(entries[number]) and rows[number].error is not None
    return rows


def _is_reference(entry: Entry) -> bool:
    return entry.job is not None and entry.job.reference_norm is not None


def _with_quality(request: Request, job: Job, row: Row, folder: str | None) -> Row:
    """The row with its quality."""
    job = dataclasses.replace(
        job, latency=False, footprint=not request.latency, reference_folder=folder
    )
    if not job.quality and not job.footprint:
        return row
    with progress_bar(job.label) as update:
        measured = run_job(job, update)
    if not request.latency:
        return measured
    return dataclasses.replace(row, quality=measured.quality, error=measured.error)


def _row_without_reference(request: Request, job: Job, row: Row) -> Row:
    """A row whose reference failed: it keeps what needs no reference."""
    error = f"{job.label}: quality was not measured because its reference failed"
    if not request.latency:
        row = run_job(dataclasses.replace(job, latency=False, quality=False))
    return dataclasses.replace(row, error=row.error or error)
