"""Interleaved rounds, so that a machine that slows down slows all rows alike."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from ..result import Latency, Row, Samples
from ..workers.jobs import Job
from .latency import spread


def timed_rows(jobs: Sequence[Job], rounds: int, run: Callable[[Job], Row]) -> list[Row]:
    """Run every job once, then every job again, and so on; pool each job's measurements.

    Args:
        jobs: What to measure; a process each, in each round.
        rounds: How often. Bytes and operations are counted in the first round only.
        run: Measures one job.

    Returns:
        A row per job. A row that failed takes no part in later rounds and keeps what it has.
    """
    rows = [run(job) for job in jobs]
    found = [[row.latency] if row.latency else [] for row in rows]
    for _ in range(1, rounds):
        for number, job in enumerate(jobs):
            if rows[number].error is None and job.latency and not rows[number].emulated:
                again = run(dataclasses.replace(job, footprint=False))
                rows[number] = dataclasses.replace(rows[number], error=again.error)
                found[number] += [again.latency] if again.latency else []
    return [
        dataclasses.replace(row, latency=pool(parts) if parts else None)
        for row, parts in zip(rows, found, strict=True)
    ]


def pool(parts: Sequence[Latency]) -> Latency:
    """One latency from several rounds of the same job: percentiles over all runs together.

    Raises:
        ValueError: no rounds, or one without its samples.
    """
    samples = [part.samples for part in parts if part.samples is not None]
    if not parts or len(samples) != len(parts):
        raise ValueError("rounds can be pooled only with all their samples")
    memory = [p.peak_memory_bytes for p in parts if p.peak_memory_bytes is not None]
    start = [p.start_memory_bytes for p in parts if p.start_memory_bytes is not None]

    device = [p.device_memory_bytes for p in parts if p.device_memory_bytes is not None]
    rates = [p.pictures_per_s for p in parts if p.pictures_per_s is not None]

    def pooled(of: Callable[[Samples], tuple[float, ...]]) -> list[float]:
        return [value for part in samples for value in of(part)]

    gpu = pooled(lambda part: part.gpu)
    return dataclasses.replace(
        parts[0],
        runs=sum(part.runs for part in parts),
        import_ms=statistics.median(part.import_ms for part in parts),
        load_ms=statistics.median(part.load_ms for part in parts),
        first_ms=statistics.median(part.first_ms for part in parts),
        infer=spread(pooled(lambda part: part.infer)),
        infer_runs_ms=tuple(round(run, 4) for run in pooled(lambda part: part.infer)),
        gpu=spread(gpu) if gpu else None,
        device_memory_bytes=max(device, default=None),
        end_to_end=spread(pooled(lambda part: part.end_to_end)),
        pre=spread(pooled(lambda part: part.pre)),
        post=spread(pooled(lambda part: part.post)),
        peak_memory_bytes=max(memory, default=None),
        start_memory_bytes=max(start, default=None),
        pictures_per_s=statistics.median(rates) if rates else None,
        round_medians_ms=tuple(spread(part.infer).median_ms for part in samples),
        samples=None,
    )
