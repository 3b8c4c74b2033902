"""Ends a run whose loss is not a number or explodes, before it ruins what was saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

_WATCH_FROM = 100  # steps before a jump of the loss counts as an explosion
_EXPLOSION = 50.0  # times the running mean of the loss


class DivergedError(ValueError):
    """The loss is NaN or exploded; the message names the step and the last good state."""


@dataclass
class DivergenceGuard:
    """Watches the loss.

    Attributes:
        saved: The run's resumable state, which the message points to if it exists.
        running_loss: Running mean of the loss; part of the resumable state.
    """

    saved: Path
    running_loss: float = 0.0

    def check(self, step: int, loss: float) -> None:
        """Take in the loss of a step.

        Raises:
            DivergedError: not finite, or far above the running mean.
        """
        if not math.isfinite(loss):
            raise self.diverged(step, f"loss is {loss}")
        if step >= _WATCH_FROM and loss > _EXPLOSION * self.running_loss > 0:
            raise self.diverged(step, f"loss jumped to {loss:.3g} from {self.running_loss:.3g}")
        weight = max(0.01, 1 / (step + 1))
        self.running_loss += weight * (loss - self.running_loss)

    def diverged(self, step: int, what: str) -> DivergedError:
        """The error for the user: what happened, what is left, what to change."""
        left = "nothing was saved yet"
        if self.saved.exists():
            left = f"the last good checkpoint is {self.saved}"
        return DivergedError(
            f"step {step}: {what}; {left}. Lower optim.lr, set optim.clip, or use fp32"
        )
