"""How fast each stage of a run is: frames over the seconds that it worked, waiting left out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

STAGES = ("decode", "convert", "infer", "encode")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Rates:
    """Frames a second.

    Attributes:
        frames: Frames that were written.
        wall_s: Seconds from the first frame read to the last one written.
        busy_s: Seconds that each of `STAGES` worked; they overlap.
        alone_fps: Inference alone on the first frame, before the run; None unless asked for.
    """

    frames: int
    wall_s: float
    busy_s: dict[str, float]
    alone_fps: float | None = None

    @property
    def fps(self) -> float:
        """Of the whole run."""
        return self.frames / self.wall_s if self.wall_s > 0 else 0.0

    def stage_fps(self, stage: str) -> float | None:
        """What a stage would reach alone at the speed it had; None if it did nothing."""
        busy_s = self.busy_s[stage]
        return self.frames / busy_s if busy_s > 0 else None


class StageClock:
    """Sums the seconds that stages work. Threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.busy_s: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds of work."""
        with self._lock:
            self.busy_s[stage] += seconds

    @contextlib.contextmanager
    def working(self, stage: str) -> Generator[None]:
        """Count the block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - begin)

    def timed(self, stage: str, items: Iterator[_T]) -> Iterator[_T]:
        """Count the time that each item takes to come."""
        while True:
            with self.working(stage):
                item = next(items, None)
            if item is None:
                return
            yield item
