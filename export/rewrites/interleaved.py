"""Times several artifacts so that they can be compared: in rounds that run each of them once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ...runtimes.base import Runner

WARMUP_ROUNDS = 3


def interleaved_ms(
    runners: Sequence[Runner], size: tuple[int, int], *, rounds: int
) -> list[list[float]]:
    """Milliseconds of each runner's inferences, one per round.

    Drift of the machine's speed affects all alike. Before a timed run, an untimed one brings the
    runner's data back into the caches, where another's are.

    Args:
        runners: Open artifacts of that size; they stay open.
        size: (height, width) in pixels.
        rounds: Timed rounds, after `WARMUP_ROUNDS` others.
    """
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, *size)).astype(np.float32)
    times: list[list[float]] = [[] for _ in runners]
    for number in range(WARMUP_ROUNDS + rounds):
        for runner, taken in zip(runners, times, strict=True):
            runner.infer(image)
            start = time.perf_counter()
            runner.infer(image)
            if number >= WARMUP_ROUNDS:
                taken.append((time.perf_counter() - start) * 1e3)
    return times
