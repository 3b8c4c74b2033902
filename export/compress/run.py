"""A compression run: importance, latency, search, trials, training, and the gate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.checkpoints.checkpoint import save_checkpoint
from ...models.compress.importance import Importance
from ...models.network.generator import Generator
from .candidates import Candidate, propose
from .steps import TRAINING, Steps


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes:
        checkpoint: The narrow network's file; None if the training was interrupted.
        body: The run's results as JSON types, which `report` writes and prints.
        passed: Whether it keeps the gain of the unpruned network within the limit.
        code: The exit code of an interrupted training, else 0.
    """

    checkpoint: Path | None
    body: dict[str, Any]
    passed: bool
    code: int = 0


def compress(steps: Steps) -> Outcome:
    """All steps in order; raises as they do.

    A candidate is chosen by its gain after the trial, summed over the validation sets, among those
    within the budget.
    """
    try:
        importance = steps.importance()
        plan = propose(steps, importance)
        candidates = [
            dataclasses.replace(each, gains_db=steps.trial(each.name, each.widths, importance))
            for each in plan.candidates
        ]
        fitting = [each for each in candidates if each.fits]
        chosen = max(fitting, key=lambda each: sum(each.gains_db.values()))
        body: dict[str, Any] = {
            **plan.to_dict(),
            "candidates": [each.to_dict() for each in candidates],
            "chosen": chosen.name,
            "network": steps.wanted.name,
            "widths": chosen.widths.to_dict(),
        }
        return _judged(steps, _trained(steps, chosen, importance), body)
    except InterruptedError as interrupted:
        return Outcome(None, {}, passed=False, code=int(interrupted.args[0]))


def _trained(steps: Steps, chosen: Candidate, importance: Importance) -> Generator:
    count = steps.wanted.steps
    if count:
        steps.log(f"training {chosen.name} for {count} steps")
    return steps.trained(chosen.widths, importance, TRAINING, count)


def _judged(steps: Steps, narrow: Generator, body: dict[str, Any]) -> Outcome:
    steps.log("comparing with the unpruned network")
    wanted = steps.wanted
    whole, gains = steps.gains(steps.generator), steps.gains(narrow)
    lost = {name: whole[name] - gains[name] for name in whole}
    path = steps.folder / f"{wanted.name}.safetensors"
    metadata = {
        "network": wanted.name,
        "init": f"{wanted.checkpoint}, sha256 {steps.source.sha256}, made narrower",
        "teacher": wanted.teacher or wanted.checkpoint,
        "steps": str(wanted.steps),
    }
    save_checkpoint(narrow, path, norm="frozen", metadata=metadata)
    passed = max(lost.values()) <= wanted.max_loss_db
    measured = {"gains_db": gains, "unpruned_gains_db": whole, "lost_db": lost, "passed": passed}
    return Outcome(path, {**body, **measured, "checkpoint": str(path)}, passed)
