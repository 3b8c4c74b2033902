"""Quality over a large data set in shards of pictures, and the exact merge of their rows.

A shard's row brings the scores of each of its pictures. Merging joins them in the data set's order
and forms the means and pooled figures from them once, by the function that one process uses: so
nothing is a mean of means, and every figure is the same to the last digit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..plan import Entry
from ..quality.measure import summarise
from ..result import Row
from .jobs import PictureFiles


def split(pictures: Sequence[PictureFiles], size: int) -> list[tuple[PictureFiles, ...]]:
    """Shards of ``size`` pictures, the last one smaller, in order.

    Raises:
        ValueError: ``size`` is not positive.
    """
    if size < 1:
        raise ValueError(f"a shard needs a picture at least, not {size}")
    return [tuple(pictures[at : at + size]) for at in range(0, len(pictures), size)]


def shard_entries(entries: Sequence[Entry], pictures: tuple[PictureFiles, ...]) -> list[Entry]:
    """The same rows for the pictures of one shard alone, without latency."""
    return [
        entry
        if entry.job is None
        else dataclasses.replace(
            entry, job=dataclasses.replace(entry.job, pictures=pictures, latency=False)
        )
        for entry in entries
    ]


def merge_rows(shards: Sequence[Sequence[Row]]) -> list[Row]:
    """One row of each entry from the rows of all shards.

    Args:
        shards: The rows of every shard, in the data set's order; each has the same entries.

    Raises:
        ValueError: no shards, or shards with different entries.
    """
    if not shards:
        raise ValueError("no shards to merge")
    names = [[row.engine for row in rows] for rows in shards]
    if any(other != names[0] for other in names):
        raise ValueError(f"shards with different rows cannot be merged: {names}")
    return [_merge(rows) for rows in zip(*shards, strict=True)]


def _merge(rows: Sequence[Row]) -> Row:
    """The first shard's row with the quality of all; with the first error, if there is one."""
    merged = rows[0]
    error = next((row.error for row in rows if row.error is not None), None)
    if error is not None:
        return dataclasses.replace(merged, quality=None, error=error)
    parts = [row.quality for row in rows if row.quality is not None]
    if len(parts) != len(rows):
        return dataclasses.replace(merged, quality=None)  # not asked for
    scores = [score for part in parts for score in part.scores]
    labels = [part.drift.reference for part in parts if part.drift is not None]
    return dataclasses.replace(merged, quality=summarise(scores, labels[0] if labels else ""))
