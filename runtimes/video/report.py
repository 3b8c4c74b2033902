"""What a run over a clip prints: a line, the rates of its stages, or JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command_line.console import console
from .clip import Clip
from .pipeline import Outcome
from .stages import STAGES, Rates


@dataclass(frozen=True)
class Result:
    """A run that ended.

    Attributes:
        clip: The input.
        target: The output's final name.
        written: What can be played: the output, or what there is of it; None if nothing.
        outcome: See `Outcome`.
        earlier: Frames that an earlier run had finished.
        frames: Frames that are finished, those of earlier runs too.
    """

    clip: Clip
    target: Path
    written: Path | None
    outcome: Outcome
    earlier: int
    frames: int

    @property
    def complete(self) -> bool:
        """Whether all frames of the input are in the output."""
        return self.outcome.error is None and not self.outcome.stopped

    @property
    def kept(self) -> str:
        """What became of the frames of a run that is not complete; empty if there are none."""
        if self.complete or not self.frames:
            return ""
        where = f"are in {self.written}" if self.written else f"stay in {self.target}.segments"
        return f"{self.frames} frames {where}; --resume goes on"


def print_result(result: Result, *, profile: bool) -> None:
    """One line on standard output, and a table of the stages if asked for."""
    rates = result.outcome.rates
    infer = rates.stage_fps("infer")
    beside = "" if infer is None else f", inference {infer:.2f} fps"
    earlier = f", {result.earlier} of them earlier" if result.earlier else ""
    sys.stdout.write(
        f"{result.clip.path} -> {result.written} {result.frames} frames{earlier} "
        f"{result.clip.height}x{result.clip.width} in {rates.wall_s:.1f} s: {rates.fps:.2f} fps"
        f"{beside}\n"
    )
    sys.stdout.flush()
    if profile:
        _print_stages(rates)


def _print_stages(rates: Rates) -> None:
    from rich.table import Table

    table = Table("stage", "frames/s", "s busy")
    for stage in STAGES:
        table.add_row(stage, _number(rates.stage_fps(stage)), f"{rates.busy_s[stage]:.2f}")
    table.add_row("whole run", _number(rates.fps), f"{rates.wall_s:.2f}")
    table.add_row("inference alone", _number(rates.alone_fps), "")
    console().print(table)


def _number(fps: float | None) -> str:
    return "-" if fps is None else f"{fps:.2f}"


def json_body(result: Result, artifact: str, ran_on: str, failure: str | None) -> dict[str, Any]:
    """The JSON object of ``deblur-run --json`` on a clip; rates are frames a second."""
    rates, clip = result.outcome.rates, result.clip
    stages = {stage: _rounded(rates.stage_fps(stage)) for stage in STAGES}
    return {
        "artifact": artifact,
        "ran_on": ran_on,
        "clip": {
            "input": str(clip.path),
            "output": str(result.target),
            "written": None if result.written is None else str(result.written),
            "complete": result.complete,
            "interrupted": result.outcome.stopped,
            "frames": result.frames,
            "frames_of_earlier_runs": result.earlier,
            "height": clip.height,
            "width": clip.width,
            "bits": clip.bits,
            "wall_s": round(rates.wall_s, 3),
            "fps": _rounded(rates.fps),
            "stage_fps": stages,
            "inference_alone_fps": _rounded(rates.alone_fps),
        },
        "failures": [] if failure is None else [{"input": str(clip.path), "reason": failure}],
    }


def _rounded(fps: float | None) -> float | None:
    return None if fps is None else round(fps, 3)
