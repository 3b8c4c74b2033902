"""Timing and optional parts of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from ..network.generator import Generator
    from .objective.features import FeatureTaps
    from .reports.board import Board
    from .validate import Example

Report = Callable[[str], None]
Progress = Callable[[int, int, str], None]


@dataclass
class Clock:
    """Seconds spent on steps and on waiting for data, since the process started or resumed."""

    data_s: float = 0.0
    step_s: float = 0.0
    steps: int = 0
    images: int = 0

    def add(self, data_s: float, step_s: float, images: int) -> None:
        """Add a step: seconds it waited for data, seconds it computed, crops it trained on."""
        self.data_s += data_s
        self.step_s += step_s
        self.steps += 1
        self.images += images

    @property
    def data_share(self) -> float:
        """Waiting for data, as a share of the time of a step."""
        total = self.data_s + self.step_s
        return self.data_s / total if total else 0.0

    @property
    def images_per_s(self) -> float:
        """Crops trained on per second, waiting included."""
        total = self.data_s + self.step_s
        return self.images / total if total else 0.0

    def describe(self) -> str:
        """One line for the log."""
        each = 1000 / max(self.steps, 1)
        return (
            f"{self.images_per_s:.1f} crops/s; per step {self.step_s * each:.0f} ms and "
            f"{self.data_s * each:.0f} ms waiting for data ({100 * self.data_share:.1f} %)"
        )


@dataclass
class Extras:
    """Optional parts of a run, besides the generator and its data."""

    perceptual: nn.Module | None = None
    teacher: nn.Module | None = None
    features: FeatureTaps | None = None
    examples: Sequence[Example] = ()
    board: Board | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    report: Report = lambda _text: None
    progress: Progress = lambda _done, _total, _text: None

    def tap_features(self, weight: float, student: Generator) -> None:
        """With a teacher and a ``weight`` above 0: compare the two networks' features.

        Raises:
            ValueError: the teacher lacks the student's layers, or the student names none.
        """
        if weight and self.teacher is not None:
            from .objective.features import FeatureTaps

            if not student.taught_layers:
                raise ValueError(f"{student.backbone} names no layers to compare; set "
                                 "loss.feature to 0")  # fmt: skip
            self.features = FeatureTaps(student, self.teacher, student.taught_layers)
