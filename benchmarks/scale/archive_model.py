"""A simulation of an archive run: tasks, stragglers and lost machines, with SimPy.

Times of pictures are drawn from the measured ones. What was not measured is an assumption, a field
of `Archive` with its own name: how many machines are slow or lost, and what the store delivers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from ...runtimes.optional import require
from .parameters import Measured


@dataclass(frozen=True)
class Archive:
    """One scenario.

    Attributes:
        workers: Of one thread each.
        pictures: In all.
        slow_share, slow_factor: Share of workers that are slower, and how many times.
        losses_per_hour: How often a worker is taken away, on average; spot machines.
        replace_s: Until another machine is there; its runner's start is added.
        store_gbit_s: What the store delivers and takes together; infinite: no limit.
        seed: Of the random numbers.
    """

    workers: int
    pictures: int
    slow_share: float = 0.0
    slow_factor: float = 3.0
    losses_per_hour: float = 0.0
    replace_s: float = 120.0
    store_gbit_s: float = math.inf
    seed: int = 0


@dataclass(frozen=True)
class ArchiveResult:
    """What the simulated run took.

    Attributes:
        makespan_s: From the start to the last picture.
        pictures_per_s: Over the makespan.
        efficiency: Against workers that start at once, are never slow, lost or waiting.
        repeated_share: Pictures computed again after losses, over all.
        tail_s: From the first worker without work to the end.
        losses: Workers that were taken away.
    """

    makespan_s: float
    pictures_per_s: float
    efficiency: float
    repeated_share: float
    tail_s: float
    losses: int


def simulate_archive(measured: Measured, archive: Archive) -> ArchiveResult:
    """Run one scenario.

    Raises:
        MissingDependencyError: SimPy is not installed.
        ValueError: no workers or no pictures.
    """
    if archive.workers < 1 or archive.pictures < 1:
        raise ValueError("a simulation needs a worker and a picture")
    run = _Run(measured, archive)
    run.environment.run(run.finished)
    makespan_s = float(run.environment.now)
    mean_s = math.fsum(measured.seconds) / len(measured.seconds)
    ideal_s = archive.pictures * mean_s / archive.workers
    return ArchiveResult(
        makespan_s=makespan_s,
        pictures_per_s=archive.pictures / makespan_s,
        efficiency=ideal_s / makespan_s,
        repeated_share=run.repeated / archive.pictures,
        tail_s=makespan_s - (run.first_idle_s if run.first_idle_s is not None else makespan_s),
        losses=run.losses,
    )


class _Run:
    """The state of one simulated run."""

    def __init__(self, measured: Measured, archive: Archive) -> None:
        simpy: Any = require("simpy", extra="ray")
        self.environment: Any = simpy.Environment()
        self.measured, self.archive = measured, archive
        self.random = random.Random(archive.seed)
        size = measured.task_pictures
        self.todo = [size] * (archive.pictures // size)
        if archive.pictures % size:
            self.todo.append(archive.pictures % size)
        self.open = len(self.todo)
        self.repeated = 0
        self.losses = 0
        self.first_idle_s: float | None = None
        self.finished = self.environment.event()
        self.returned = self.environment.event()  # a task came back from a lost worker
        for _ in range(archive.workers):
            self.environment.process(self._worker())

    def _worker(self) -> Generator[Any, Any, None]:
        archive, environment = self.archive, self.environment
        slow = self.random.random() < archive.slow_share
        factor = archive.slow_factor if slow else 1.0
        lost_at_s = self._next_loss_s()
        yield environment.timeout(self.measured.start_s * factor)
        while self.open:
            if not self.todo:
                if self.first_idle_s is None:
                    self.first_idle_s = environment.now
                yield self.returned | self.finished
                continue
            pictures = self.todo.pop()
            seconds = self._task_s(pictures, factor)
            if environment.now + seconds <= lost_at_s:
                yield environment.timeout(seconds)
                self._done()
                continue
            worked_s = max(0.0, lost_at_s - environment.now)
            yield environment.timeout(worked_s)
            self._give_back(pictures, worked_s / seconds)
            yield environment.timeout(archive.replace_s + self.measured.start_s)
            lost_at_s = self._next_loss_s()

    def _task_s(self, pictures: int, factor: float) -> float:
        """Arithmetic and the store overlap: the slower of them counts."""
        drawn = self.random.choices(self.measured.seconds, k=pictures)
        each_bits = (self.measured.bytes_in + self.measured.bytes_out) * 8
        share_bit_s = self.archive.store_gbit_s * 1e9 / self.archive.workers
        return max(math.fsum(drawn) * factor, pictures * each_bits / share_bit_s)

    def _next_loss_s(self) -> float:
        rate = self.archive.losses_per_hour / 3600
        now = float(self.environment.now)
        return math.inf if not rate else now + self.random.expovariate(rate)

    def _give_back(self, pictures: int, done_share: float) -> None:
        """Another worker does the whole task again, as Ray does."""
        self.repeated += int(pictures * done_share)
        self.losses += 1
        self.todo.append(pictures)
        self.returned.succeed()
        self.returned = self.environment.event()

    def _done(self) -> None:
        self.open -= 1
        if not self.open:
            self.finished.succeed()
