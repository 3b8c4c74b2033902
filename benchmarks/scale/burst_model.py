"""A simulation of a service under bursts: replicas, a bounded queue, and refusals, with SimPy."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtimes.optional import require
from .parameters import Measured


@dataclass(frozen=True)
class Service:
    """One scenario; requests come at random, independently of each other.

    Attributes:
        replicas: Of one thread each; a replica works on one picture at a time.
        load: Mean rate of requests outside bursts, as a share of what the replicas can do.
        burst_load: The same inside bursts.
        burst_every_s, burst_s: From the start of a burst to that of the next, and its length.
        queue: Requests that wait for each replica; more are refused (HTTP 429).
        hours: Simulated.
        seed: Of the random numbers.
    """

    replicas: int
    load: float = 0.6
    burst_load: float = 1.5
    burst_every_s: float = 600.0
    burst_s: float = 30.0
    queue: int = 4
    hours: float = 0.25
    seed: int = 0


@dataclass(frozen=True)
class ServiceResult:
    """``p50_s`` and ``p99_s``: from a request's arrival to its answer, of those accepted."""

    requests: int
    refused_share: float
    p50_s: float
    p99_s: float
    alone_s: float


def simulate_service(measured: Measured, service: Service) -> ServiceResult:
    """Run one scenario.

    Raises:
        MissingDependencyError: SimPy is not installed.
        ValueError: no replicas.
    """
    if service.replicas < 1:
        raise ValueError("a simulation needs a replica")
    run = _Run(measured, service)
    run.environment.run(run.arrivals)  # answers that are still due are waited for below
    run.environment.run()
    answered = sorted(run.times_s)
    total = len(answered) + run.refused
    return ServiceResult(
        requests=total,
        refused_share=run.refused / total,
        p50_s=percentile(answered, 50),
        p99_s=percentile(answered, 99),
        alone_s=math.fsum(measured.seconds) / len(measured.seconds),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of sorted values."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


class _Run:
    """The state of one simulated service."""

    def __init__(self, measured: Measured, service: Service) -> None:
        simpy: Any = require("simpy", extra="ray")
        self.environment: Any = simpy.Environment()
        self.measured, self.service = measured, service
        self.random = random.Random(service.seed)
        self.replicas: Any = simpy.Resource(self.environment, capacity=service.replicas)
        self.times_s: list[float] = []
        self.refused = 0
        self.arrivals = self.environment.process(self._arrive())

    def _arrive(self) -> Generator[Any, Any, None]:
        service, environment = self.service, self.environment
        mean_s = math.fsum(self.measured.seconds) / len(self.measured.seconds)
        capacity = service.replicas / mean_s
        # Thinning: candidates at the highest rate, of which the rate of the moment is kept.
        highest = max(service.load, service.burst_load)
        while environment.now < service.hours * 3600:
            yield environment.timeout(self.random.expovariate(capacity * highest))
            inside = environment.now % service.burst_every_s < service.burst_s
            rate = service.burst_load if inside else service.load
            if self.random.random() * highest < rate:
                self._offer()

    def _offer(self) -> None:
        if len(self.replicas.queue) >= self.service.queue * self.service.replicas:
            self.refused += 1
        else:
            self.environment.process(self._answer())

    def _answer(self) -> Generator[Any, Any, None]:
        begin_s = self.environment.now
        with self.replicas.request() as turn:
            yield turn
            yield self.environment.timeout(self.random.choice(self.measured.seconds))
        self.times_s.append(self.environment.now - begin_s)
