"""``deblur-bench --ray``: shards of a data set as tasks of a Ray cluster. Quality alone.

Latency is never measured here: tasks share machines, and which machine a task gets is chance.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

from ...runtimes.archive.ray_session import ray_session
from ...runtimes.command_line.console import progress_bar
from ...runtimes.machine import usable_cores
from ..bench import checked, quality_pass
from ..plan import Entry, Request, engine_entries, read_engines
from ..result import Row
from .jobs import PictureFiles
from .shards import merge_rows, shard_entries, split

SHARD_PICTURES = 16
_AHEAD = 2  # shards in the queue for each that runs, so that the driver's memory stays small


def run_bench_on_ray(request: Request, address: str, shard_pictures: int) -> tuple[Row, ...]:
    """Score all rows over the data set in shards, on a Ray cluster or a local Ray.

    Every machine must see the artifacts, checkpoints and pictures under the same paths.

    Args:
        request: As for `bench.run_bench`, without latency, baselines and report.
        address: See `ray_session`.
        shard_pictures: Pictures a task; it compares all artifacts with their references on these.

    Raises:
        ValueError: latency, baselines or a report were asked for, or there is nothing to measure.
        FileNotFoundError: a checkpoint does not exist.
    """
    if request.latency or request.baselines or request.pictures_folder is not None:
        raise ValueError("on Ray only quality is measured: no latency, baselines or report")
    checked(request)
    entries = engine_entries(request, read_engines(request))
    shards = split(request.pictures, shard_pictures)
    threads = request.conditions.threads
    rows: dict[int, Sequence[Row]] = {}
    with (
        ray_session(address, cpus=max(usable_cores(), threads)) as ray,
        progress_bar("shards") as update,
    ):
        slots = _slots(ray, threads) * (1 + _AHEAD)
        for number, done in _run(ray, request, entries, shards, slots):
            rows[number] = done
            update(len(rows), len(shards))
    return tuple(merge_rows([rows[number] for number in range(len(shards))]))


def _slots(ray: Any, threads: int) -> int:  # noqa: ANN401 - Ray has no types
    return max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)


def _run(
    ray: Any,  # noqa: ANN401 - Ray has no types
    request: Request,
    entries: Sequence[Entry],
    shards: Sequence[tuple[PictureFiles, ...]],
    slots: int,
) -> Iterator[tuple[int, Sequence[Row]]]:
    """Yield (number of the shard, its rows), at most ``slots`` shards under way."""
    task = ray.remote(num_cpus=request.conditions.threads, max_retries=3)(_measure)
    waiting = collections.deque(enumerate(shards))
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < slots:
            number, pictures = waiting.popleft()
            running[task.remote(request, shard_entries(entries, pictures))] = number
        (ready,), _ = ray.wait(list(running), num_returns=1)
        yield running.pop(ready), ray.get(ready)


def _measure(request: Request, entries: Sequence[Entry]) -> list[Row]:
    """One shard, in a task: the references, then the artifacts, each in a process of its own."""
    rows = [Row(engine=entry.label, error=entry.error) for entry in entries]
    return quality_pass(request, entries, rows)
