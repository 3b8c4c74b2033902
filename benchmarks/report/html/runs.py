"""Runs of ``deblur-export`` and ``deblur-compress`` in a report: their figures as texts and points.

An export's are read from the manifest beside its artifact, a compression's from ``compress.json``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....runtimes.artifact import Manifest


@dataclass(frozen=True)
class ExportRun:
    """One export: the cells of its row, under `EXPORT_HEADINGS`."""

    cells: tuple[str, ...]


EXPORT_HEADINGS = (
    "export", "target", "network", "size", "MiB", "PSNR to PyTorch dB", "residual SNR dB",
    "PSNR lost by 8 bits dB", "rewrites", "verified on",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One network of a compression: what it costs, and its mean gain in dB over the sets."""

    name: str
    cost: float
    gain_db: float
    fits: bool


@dataclass(frozen=True)
class CompressRun:
    """One compression.

    Attributes:
        name: The new network.
        unit: Of the costs and the budget: ``ms`` or ``MACs``.
        caption: What was measured where.
        candidates: The unpruned network first, the trained one last.
    """

    name: str
    unit: str
    budget: float
    caption: str
    candidates: tuple[Candidate, ...]

    def to_dict(self) -> dict[str, Any]:
        """What the chart is drawn from."""
        return {
            "name": self.name,
            "unit": self.unit,
            "budget": self.budget,
            "points": [
                {"name": each.name, "cost": each.cost, "gain_db": each.gain_db}
                for each in self.candidates
            ],
        }


@dataclass(frozen=True)
class Runs:
    """The runs of one report, in the order of the files."""

    exports: list[ExportRun]
    compressions: list[CompressRun]

    def add(self, run: ExportRun | CompressRun) -> None:
        """Put a run beside those of its kind."""
        if isinstance(run, ExportRun):
            self.exports.append(run)
        else:
            self.compressions.append(run)


def read_run(path: Path, body: Any) -> ExportRun | CompressRun | None:  # noqa: ANN401 - any JSON
    """The run that a JSON file tells of; None if it is of another kind.

    Raises:
        ValueError: a run's file that lacks something, or a manifest that was altered.
    """
    if not isinstance(body, dict):
        return None
    if {"candidates", "chosen", "unpruned_cost"} <= body.keys():
        try:
            return _compress_run(body)
        except (KeyError, TypeError, StopIteration) as error:
            raise ValueError(f"{path}: not a whole compress.json ({error!r})") from error
    if {"target", "parity", "digest"} <= body.keys():
        return _export_run(path.stem, Manifest.from_dict(body, origin=str(path)))
    return None


def _compress_run(body: dict[str, Any]) -> CompressRun:
    chosen = next(each for each in body["candidates"] if each["name"] == body["chosen"])
    found = [
        Candidate(each["name"], each["cost"], _mean(each["gains_db"]), each["fits"])
        for each in body["candidates"]
    ]
    whole = Candidate("unpruned", body["unpruned_cost"], _mean(body["unpruned_gains_db"]), False)
    trained = Candidate(
        f"{body['chosen']}, trained", chosen["cost"], _mean(body["gains_db"]), chosen["fits"]
    )
    machine = f"; {body['machine']}" if body.get("machine") else ""
    caption = f"mean gain over {', '.join(body['gains_db'])}{machine}"
    return CompressRun(
        body["network"], body["unit"], body["budget"], caption, (whole, *found, trained)
    )


def _mean(gains: dict[str, float]) -> float:
    return sum(gains.values()) / len(gains)


def _export_run(name: str, manifest: Manifest) -> ExportRun:
    parity, lost = manifest.parity, manifest.quantisation
    size = manifest.input.size
    if parity is None:
        compared = ("-", "-", "not verified")
    else:
        emulated = " (emulated)" if parity.emulated else ""
        compared = (
            _decibels(parity.psnr_db), _decibels(parity.residual_snr_db),
            f"{parity.ran_on}{emulated}",
        )  # fmt: skip
    return ExportRun(
        (
            name,
            manifest.target,
            manifest.network or manifest.backbone,
            f"{size[0]}x{size[1]}" if size else "free",
            f"{manifest.bytes / 2**20:.2f}",
            *compared[:2],
            f"{lost.psnr_drop_db:+.3f}" if lost else "-",
            ", ".join(manifest.rewrites) or "none",
            compared[2],
        )
    )


def _decibels(value: float) -> str:
    return "identical" if value == math.inf else f"{value:.2f}"
