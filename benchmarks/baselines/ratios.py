"""How many times faster a row is than its baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..result import Row

REFERENCE, STOCK = "reference", "stock"
_SAME = {"f32": "fp32"}  # two names of one arithmetic


def with_ratios(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Fill in ``x_baseline`` and ``x_stock``: the other's median `infer` over the row's own.

    Both only against the same checkpoint at the same size; ``x_stock`` also only against the same
    runtime in the same precision. A row that has no such partner, or no latency, keeps None.
    """
    return tuple(
        dataclasses.replace(
            row, x_baseline=_ratio(row, rows, REFERENCE), x_stock=_ratio(row, rows, STOCK)
        )
        for row in rows
    )


def _ratio(row: Row, rows: Sequence[Row], kind: str) -> float | None:
    if row.latency is None:
        return None
    for other in rows:
        if other.baseline == kind and other.latency is not None and _match(row, other, kind):
            return other.latency.infer.median_ms / row.latency.infer.median_ms
    return None


def _match(row: Row, other: Row, kind: str) -> bool:
    assert row.latency is not None  # both were asked before
    assert other.latency is not None
    alike = (
        row.latency.size == other.latency.size and row.checkpoint_sha256 == other.checkpoint_sha256
    )
    if kind != STOCK:
        return alike
    return alike and _runtime_and_arithmetic(row) == _runtime_and_arithmetic(other)


def _runtime_and_arithmetic(row: Row) -> tuple[str | None, str | None]:
    """Runtime and arithmetic; of "fp16 weights, bf16 arithmetic" the latter."""
    arithmetic = (row.precision or "").rpartition(", ")[2].removesuffix(" arithmetic")
    return row.runtime, _SAME.get(arithmetic, arithmetic)
