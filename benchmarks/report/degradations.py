"""Quality by degradation, for sets that keep their pairs so: ``<kind>/<picture>``."""

from __future__ import annotations

from collections.abc import Sequence

from ...models.data.layouts.restore import NAME
from ..quality.scores import PictureScore
from ..result import BenchResult
from .columns import engine_name

_NONE = "-"


def degradation_table(result: BenchResult) -> list[list[str]]:
    """Mean PSNR and its gain over the degraded pictures in dB, headings first.

    Empty for other data sets, and if no quality was measured.
    """
    if result.data.layout != NAME:
        return []
    scored = [(row, row.quality.scores) for row in result.rows if row.quality is not None]
    kinds = list(dict.fromkeys(_kind(score) for _, scores in scored for score in scores))
    if not kinds:
        return []
    table = [["engine", *kinds]]
    for row, scores in scored:
        cells = [[score for score in scores if _kind(score) == kind] for kind in kinds]
        table.append([engine_name(row), *(_cell(cell) for cell in cells)])
    return table


def _kind(score: PictureScore) -> str:
    return score.name.partition("/")[0]


def _cell(scores: Sequence[PictureScore]) -> str:
    """``27.31 (+1.20)``."""
    if not scores:
        return _NONE
    psnr = sum(score.psnr_db for score in scores) / len(scores)
    before = sum(score.blurry_psnr_db for score in scores) / len(scores)
    return f"{psnr:.2f} ({psnr - before:+.2f})"
