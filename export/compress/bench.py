"""Times of networks as the target's runtime runs them: each is exported as any artifact is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ...models.network.generator import Generator
from ...runtimes.artifact import read_manifest
from ...runtimes.registry import open_runner
from ..api import export
from ..build import Settings
from ..rewrites.interleaved import interleaved_ms

# Speed does not depend on the ranges: few pictures are enough, and no quality is asked of a
# network that was just sliced.
_CALIBRATION_PICTURES, _ANY_DROP_DB = 2, 1000.0

Log = Callable[[str], None]


class Bench(Protocol):
    """What turns networks into artifacts and artifacts into milliseconds."""

    def build(self, generator: Generator, checkpoint: Path, artifact: Path, log: Log) -> None:
        """Export a checkpoint to ``artifact``, if that does not hold it already."""
        ...

    def times_ms(self, artifacts: Sequence[Path]) -> list[float]:
        """Milliseconds of each; all measured together, so that they can be compared."""
        ...


@dataclass(frozen=True)
class ExportBench:
    """The real one.

    Attributes:
        target: Name of the target.
        size: (height, width) in pixels.
        threads: CPU threads.
        rounds: Timed rounds; each runs all artifacts once, so that drift of the machine's speed
            affects all alike.
    """

    target: str
    size: tuple[int, int]
    threads: int
    rounds: int = 15

    def build(self, generator: Generator, checkpoint: Path, artifact: Path, log: Log) -> None:
        """See `Bench`. The ordinary export, rewrites and verification included."""
        del generator
        if artifact.exists() and _holds(artifact, checkpoint):
            return
        settings = Settings(
            calibration_count=_CALIBRATION_PICTURES,
            max_drop_db=_ANY_DROP_DB,
            threads=self.threads,
            force=True,
        )
        export(checkpoint, self.target, size=self.size, output=artifact, settings=settings, log=log)

    def times_ms(self, artifacts: Sequence[Path]) -> list[float]:
        """See `Bench`: first quartiles, since other work on a machine only ever adds time."""
        runners = [open_runner(path, threads=self.threads) for path in artifacts]
        try:
            times = interleaved_ms(runners, self.size, rounds=self.rounds)
        finally:
            for runner in runners:
                runner.close()
        return [float(np.percentile(taken, 25)) for taken in times]


def _holds(artifact: Path, checkpoint: Path) -> bool:
    from ...runtimes.files import sha256_of

    try:
        return read_manifest(artifact).checkpoint.sha256 == sha256_of(checkpoint)
    except (OSError, ValueError):
        return False
