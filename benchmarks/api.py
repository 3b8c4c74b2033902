"""Measuring from Python: the rows of ``deblur-bench`` as one typed result."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from ..runtimes.machine import usable_cores
from .bench import run_bench
from .environment import describe_machine
from .plan import Request
from .quality.data import load_data
from .result import BenchResult, Conditions, DataSet, Row

SIZE = (736, 1280)  # 720p, padded


def measure(
    engines: str | Path | Sequence[str | Path],
    *,
    size: tuple[int, int] = SIZE,
    runs: int = 20,
    warmup: int = 3,
    rounds: int = 1,
    threads: int = 0,
    device: str = "cpu",
    protocol: str = "edge",
    data: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    baselines: Sequence[str] = (),
    checkpoints: Sequence[str | Path] = (),
    latency: bool = True,
    quality: bool = True,
) -> BenchResult:
    """Measure one artifact or several, each in its own process, next to their PyTorch reference.

    Args:
        engines: Artifacts or checkpoints.
        size: (height, width) in pixels for files of free size, multiples of what the
            network needs.
        runs: Timed runs a round.
        warmup: Runs before them, after the first.
        rounds: How often all rows are timed in turn.
        threads: CPU threads; 0 takes all that this process may use.
        device: ``cpu`` or ``cuda``.
        protocol: ``edge`` or ``paper``: how pictures are padded and rounded.
        data: Folder of a data set; None for the packaged samples.
        split: Which split of it.
        limit: Use only the first so many pairs.
        baselines: ``reference``, ``stock``, ``cuda``: what else to measure and compare with.
        checkpoints: Files offered as the weights that artifacts were made from.
        latency: Measure time and memory.
        quality: Score pictures, and drift from PyTorch.

    Returns:
        A row for each engine, reference and baseline; a row that failed says why in ``error``.

    Raises:
        FileNotFoundError: no such data or checkpoint.
        ValueError: no engines, no pairs, or an unknown baseline.
    """
    given = [engines] if isinstance(engines, (str, Path)) else engines
    found, pictures = load_data(data, split=split, subset="blur", limit=limit)
    request = Request(
        engines=tuple(map(Path, given)),
        checkpoints=tuple(map(Path, checkpoints)),
        conditions=Conditions(
            size, protocol, device, threads or usable_cores(), runs, warmup, rounds
        ),
        pictures=pictures,
        latency=latency,
        quality=quality,
        baselines=tuple(baselines),
    )
    return measured(request, found)


def measured(
    request: Request,
    data: DataSet,
    run: Callable[[Request], tuple[Row, ...]] = run_bench,
) -> BenchResult:
    """The result of a request, with machine and date; ``run`` is what measures its rows.

    Raises:
        FileNotFoundError, ValueError: see `run_bench`.
    """
    return BenchResult(
        conditions=request.conditions,
        data=data,
        environment=describe_machine(),
        rows=run(request),
        measured_on=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )
