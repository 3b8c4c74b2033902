"""What a compression run is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Budget:
    """The most that the network may cost: exactly one is set.

    Attributes:
        ms: Milliseconds of the artifact on this machine.
        ratio: A share of the unpruned network's milliseconds, measured in the same run.
        macs: Multiply-accumulates of all convolutions at the size asked for.
    """

    ms: float | None = None
    ratio: float | None = None
    macs: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.ms, self.ratio, self.macs) if value is not None]
        if len(given) != 1:
            raise ValueError("give one of --budget-ms, --budget-ratio and --budget-macs")
        if not given[0] > 0:
            raise ValueError(f"the budget is {given[0]:g}; it must be above 0")
        if self.ratio is not None and self.ratio >= 1:
            raise ValueError(f"--budget-ratio is {self.ratio:g}; it must be below 1")

    @property
    def timed(self) -> bool:
        """Whether times have to be measured to keep it."""
        return self.macs is None


@dataclass(frozen=True)
class Compression:
    """A compression run.

    Attributes:
        checkpoint: The unpruned network: a file or ``zoo:<name>``.
        target: The target whose artifacts are timed.
        size: (height, width) in pixels.
        budget: See `Budget`.
        output: Folder of the run.
        name: The new network's name.
        threads: CPU threads.
        networks: Networks that are measured for the latency model.
        rounds: Timed rounds.
        step: Widths are multiples of it.
        min_share: Every layer keeps at least this share of its channels.
        fixed: Kinds of widths that stay, such as ``streams``.
        importance_batches: Batches of eight crops over which importance is measured.
        trial_steps: Training steps of each candidate before one is chosen.
        steps: Training steps of the chosen one; 0 leaves it untrained.
        teacher: Whose pictures it learns; None for ``checkpoint``.
        preset: Settings of the training.
        overrides: Changes to them, as ``section.key=value``.
        sharp, pairs: Folders to train on.
        val_sharp, val_pairs: Folders to validate on, besides the packaged samples.
        max_loss_db: How much less than the unpruned network it may gain.
        device: Where it trains.
        quiet: No progress and remarks of the training.
    """

    checkpoint: str
    target: str
    size: tuple[int, int]
    budget: Budget
    output: Path
    name: str
    threads: int = 1
    networks: int = 12
    rounds: int = 15
    step: int = 8
    min_share: float = 0.3
    fixed: tuple[str, ...] = ()
    importance_batches: int = 48
    trial_steps: int = 200
    steps: int = 20000
    teacher: str | None = None
    preset: str = "compress"
    overrides: tuple[str, ...] = ()
    sharp: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    val_sharp: Path | None = None
    val_pairs: Path | None = None
    max_loss_db: float = 0.15
    device: str = "auto"
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.steps and not (self.sharp or self.pairs):
            raise ValueError("nothing to train on; give --sharp DIR or --pairs DIR, or --steps 0")
        if not 0 < self.min_share <= 1:
            raise ValueError(f"--min-share is {self.min_share:g}; it must be above 0, at most 1")
        if self.networks < 5:
            raise ValueError(f"--networks is {self.networks}; a latency model needs 5 or more")
        if self.step < 1:
            raise ValueError(f"--multiple is {self.step}; it must be at least 1")

    def header(self, sha256: str) -> dict[str, Any]:
        """What must be the same for a run to go on; `steps` and limits of the gate may change."""
        free = ("output", "steps", "max_loss_db", "device", "val_sharp", "val_pairs", "quiet")
        body = {name: value for name, value in asdict(self).items() if name not in free}
        return {**body, "checkpoint_sha256": sha256}
