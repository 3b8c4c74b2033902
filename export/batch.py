"""Batch export: several artifacts from one checkpoint. A failure does not stop the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.command_line.console import DONE, FAILED, USER_ERRORS, console, one_line, print_json

if TYPE_CHECKING:
    from ..runtimes.artifact import Manifest
    from .graph import ExportSpec
    from .registry import Target

LogStep = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One artifact to export, and its path."""

    target: Target
    spec: ExportSpec
    output: Path

    @property
    def size(self) -> str:
        """``736x1280``, or ``any`` where the size is dynamic."""
        return "any" if self.spec.dynamic else f"{self.spec.size[0]}x{self.spec.size[1]}"


@dataclass(frozen=True)
class Outcome:
    """The result of a job: a manifest or an error message, and the seconds it took."""

    job: Job
    manifest: Manifest | None
    error: str | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        spec = self.job.spec
        body: dict[str, Any] = {
            "target": self.job.target.name,
            "size": None if spec.dynamic else list(spec.size),
            "seconds": self.seconds,
        }
        if self.manifest is None:
            return {**body, "error": self.error}
        return {**body, "artifact": str(self.job.output), "manifest": self.manifest.to_dict()}


def export_batch(
    jobs: Sequence[Job], build: Callable[[Job, LogStep], Manifest], log: LogStep
) -> list[Outcome]:
    """Export one job after the other; record user errors and continue.

    Args:
        jobs: What to export.
        build: Exports one job; gets a function that logs its steps.
        log: Called with a line at each step.
    """
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs):
        label = f"{number + 1} of {len(jobs)}, {job.target.name} {job.size}"
        start = time.perf_counter()
        manifest, error = None, None
        try:
            manifest = build(job, lambda step, label=label: log(f"{label}: {step}"))
        except USER_ERRORS as raised:
            error = one_line(raised)
        outcomes.append(Outcome(job, manifest, error, time.perf_counter() - start))
    return outcomes


def report(outcomes: Sequence[Outcome], *, as_json: bool, notes: Sequence[str] = ()) -> int:
    """Print what was built, with ``notes`` below it, and what failed; return the exit code."""
    if as_json:
        print_json([outcome.to_dict() for outcome in outcomes])
    else:
        _print_table(outcomes, notes)
    failed = [outcome for outcome in outcomes if outcome.manifest is None]
    for outcome in failed:
        where = f"{outcome.job.target.name} {outcome.job.size}"
        sys.stderr.write(f"deblur-export: error: {where}: {outcome.error}\n")
    return FAILED if failed else DONE


def _print_table(outcomes: Sequence[Outcome], notes: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from .summary import format_db

    built = sum(outcome.manifest is not None for outcome in outcomes)
    table = Table(title=f"{built} of {len(outcomes)} built", title_justify="left")
    for heading in ("target", "size", "file"):
        table.add_column(heading)
    for heading in ("MB", "PSNR to PyTorch", "worst", "dB lost", "seconds"):
        table.add_column(heading, justify="right")
    for outcome in outcomes:
        job, manifest = outcome.job, outcome.manifest
        cells = ["failed", "", "", "", ""]
        if manifest is not None and manifest.parity is not None:
            parity, cost = manifest.parity, manifest.quantisation
            emulated = " (emulated)" if parity.emulated else ""
            cells = [
                job.output.name,
                f"{manifest.bytes / 1e6:.2f}",
                format_db(parity.psnr_db) + emulated,
                format_db(parity.worst_psnr_db) + emulated,
                "" if cost is None else f"{cost.psnr_drop_db:.3f}",
            ]
        row = (job.target.name, job.size, *cells, f"{outcome.seconds:.0f}")
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
    for note in dict.fromkeys((*_notes(outcomes), *notes)):
        console().print(note, markup=False, soft_wrap=True)


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    """What ran in place of an artifact, for each target whose artifact could not run here."""
    return [
        f"{outcome.job.target.name}: {outcome.manifest.parity.note}"
        for outcome in outcomes
        if outcome.manifest is not None
        and outcome.manifest.parity is not None
        and outcome.manifest.parity.note
    ]
