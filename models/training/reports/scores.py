"""Scores on the validation pictures, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from ....runtimes.command_line.console import console, print_json

if TYPE_CHECKING:
    import argparse

    from ..distributed import ProcessGroup
    from ..validate import Scores


def report_scores(
    arguments: argparse.Namespace, body: dict[str, object], scores: Scores | None
) -> None:
    """Print ``body`` and the scores: JSON with ``--json``, else a table of the scores."""
    if arguments.json:
        if scores is not None:
            names = ("psnr_before", "psnr_after", "ssim_before", "ssim_after")
            body["mean"] = _finite({name: scores.mean(name) for name in names})
            gain = {"mean": scores.gain_db, "spread": scores.spread_db}
            body["gain_db"] = _finite({**gain, "improved": scores.improved})
            body["pictures"] = [_finite(dataclasses.asdict(score)) for score in scores.pictures]
        print_json(body)
        return
    if scores is None:
        return
    from rich.table import Table

    table = Table("picture", "PSNR before", "after", "gain dB", "SSIM before", "after")
    for s in scores.pictures:
        gain = s.psnr_after - s.psnr_before
        row = (s.psnr_before, s.psnr_after, gain, s.ssim_before, s.ssim_after)
        table.add_row(s.name, *(f"{value:.3f}" for value in row))
    names = ("psnr_before", "psnr_after", "gain_db", "ssim_before", "ssim_after")
    means = [scores.gain_db if n == "gain_db" else scores.mean(n) for n in names]
    table.add_section()
    table.add_row("mean", *(f"{value:.3f}" for value in means))
    table.caption = (
        f"gain {scores.gain_db:+.3f} dB, standard deviation {scores.spread_db:.3f} over "
        f"{len(scores.pictures)} pictures; {100 * scores.improved:.0f} % improve"
    )
    console().print(table)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: None stands for the PSNR of identical pictures."""
    return {
        name: None if value in (math.inf, -math.inf) else value for name, value in values.items()
    }


def log_line(arguments: argparse.Namespace, group: ProcessGroup, text: str) -> None:
    """One line on standard error, from the first process, unless the output is JSON."""
    if group.is_main and not arguments.json:
        console(stderr=True).print(text, markup=False, soft_wrap=True)
