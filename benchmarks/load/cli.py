"""``python -m edgedeblur.benchmarks.load.cli``: the table of a service under load.

The service must be running, by itself, on this machine. Its capacity is measured first, as pictures
a second with several clients that wait for their answers; then pictures come at fractions of it,
whether or not earlier ones were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...runtimes.command_line.common_options import add_common_options
from ...runtimes.command_line.console import DONE, console, print_json, run_command
from ...runtimes.machine import machine, usable_cores
from .client import Sample, Target, as_fast_as_answered, at_times, send

EVEN, POISSON = "even", "poisson"
_ALONE = 8  # requests of which the single-request time is the median
_SEED = 0


@dataclass(frozen=True)
class Row:
    """One load. Times in milliseconds, over the answered; ``load`` is a fraction of capacity."""

    load: float
    offered_per_s: float
    answered_per_s: float
    sent: int
    answered: int
    refused: int
    failed: int
    p50_ms: float
    p99_ms: float
    most_ms: float


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="serve")


def build_parser() -> argparse.ArgumentParser:
    """All arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m edgedeblur.benchmarks.load.cli",
        description="Measure a running deblur-serve on this machine under load.",
    )
    add_common_options(parser)
    add = parser.add_argument
    add("address", help="of the service, http://127.0.0.1:PORT")
    add("picture", type=Path, help="the picture that is sent")
    add("--loads", type=_loads, default=(0.5, 0.8, 1.0, 1.5), metavar="X,Y",
        help="fractions of capacity (default: 0.5,0.8,1,1.5)")  # fmt: skip
    add("--seconds", type=float, default=10.0, metavar="S",
        help="of each load, and of measuring capacity (default: %(default)g)")  # fmt: skip
    add("--clients", type=int, default=4, metavar="N",
        help="clients that measure capacity (default: %(default)s)")  # fmt: skip
    add("--capacity", type=float, metavar="X",
        help="pictures a second; leaves out measuring it")  # fmt: skip
    add("--arrivals", choices=(EVEN, POISSON), default=EVEN,
        help="even: at equal distances; poisson: independent (default: even)")  # fmt: skip
    add("--json", action="store_true", help="print the result as JSON")
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    target = Target.at(arguments.address, arguments.picture.read_bytes())
    body = asyncio.run(_measure(target, arguments))
    body["replicas"] = _replicas(arguments.address)
    if arguments.json:
        print_json(body)
    else:
        _print_table(body)
    return DONE


async def _measure(target: Target, arguments: argparse.Namespace) -> dict[str, Any]:
    alone = [await send(target, time.perf_counter()) for _ in range(_ALONE + 2)]
    _check_all_answered(alone)
    single_ms = statistics.median(sample.seconds for sample in alone[2:]) * 1e3  # 2 warm it up
    capacity = arguments.capacity
    if capacity is None:
        begin = time.perf_counter()
        samples = await as_fast_as_answered(target, arguments.clients, arguments.seconds)
        _check_all_answered(samples)
        capacity = len(samples) / (time.perf_counter() - begin)
    rows: list[Row] = []
    for load in arguments.loads:
        starts = arrivals(load * capacity, arguments.seconds, arguments.arrivals)
        begin = time.perf_counter()
        samples = await at_times(target, starts)
        rows.append(row_of(load, samples, arguments.seconds, time.perf_counter() - begin))
    return {
        "machine": machine(),
        "cores": usable_cores(),
        "picture": arguments.picture.name,
        "arrivals": arguments.arrivals,
        "single_ms": single_ms,
        "capacity_per_s": capacity,
        "rows": [asdict(row) for row in rows],
    }


def arrivals(rate: float, seconds: float, kind: str) -> list[float]:
    """Starts in seconds: at equal distances, or with exponential ones from a fixed seed."""
    if kind == EVEN:
        return [number / rate for number in range(max(1, round(rate * seconds)))]
    source = random.Random(_SEED)
    starts, at = [], source.expovariate(rate)
    while at < seconds:
        starts.append(at)
        at += source.expovariate(rate)
    return starts or [0.0]


def row_of(load: float, samples: Sequence[Sample], offered_s: float, taken_s: float) -> Row:
    """The row of one load: ``offered_s`` is how long pictures were sent, ``taken_s`` until the end.

    Raises:
        ValueError: nothing was answered.
    """
    statuses = Counter(sample.status for sample in samples)
    times = sorted(sample.seconds * 1e3 for sample in samples if sample.status == 200)
    if not times:
        raise ValueError(f"no picture was answered at {load:.0%} load: {dict(statuses)}")
    return Row(
        load=load,
        offered_per_s=len(samples) / offered_s,
        answered_per_s=len(times) / taken_s,
        sent=len(samples),
        answered=len(times),
        refused=statuses[429],
        failed=len(samples) - len(times) - statuses[429],
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
        most_ms=times[-1],
    )


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed (nearest rank)."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


def _check_all_answered(samples: Sequence[Sample]) -> None:
    others = {sample.status for sample in samples} - {200}
    if others or not samples:
        raise ValueError(
            f"while measuring capacity the service answered {sorted(others)}; fewer --clients"
        )


def _replicas(address: str) -> int:
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    values = [line.split()[1] for line in lines if line.startswith("deblur_replicas ")]
    return int(float(values[0]))


def _print_table(body: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{body['machine']}, {body['cores']} cores; {body['arrivals']} arrivals")
    headings = ("load", "offered /s", "answered /s", "sent", "answered", "429", "failed",
                "p50 ms", "p99 ms", "most ms")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in body["rows"]:
        times = (row["p50_ms"], row["p99_ms"], row["most_ms"])
        counts = (row["sent"], row["answered"], row["refused"], row["failed"])
        rates = (f"{row['offered_per_s']:.2f}", f"{row['answered_per_s']:.2f}")
        cells = [f"{row['load']:.0%}", *rates, *map(str, counts), *(f"{t:.0f}" for t in times)]
        table.add_row(*cells)
    shown = console()
    shown.print(table)
    shown.print(
        f"alone {body['single_ms']:.0f} ms; capacity {body['capacity_per_s']:.2f} pictures/s; "
        f"{body['replicas']} replicas at the end"
    )


def _loads(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value <= 10 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of fractions, such as 0.5,0.8")
    return values


if __name__ == "__main__":
    raise SystemExit(main())
