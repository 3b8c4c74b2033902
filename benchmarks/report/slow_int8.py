"""Tells where int8 was measured to be slower than a float target of the same network."""

from __future__ import annotations

from collections.abc import Sequence

from ..result import Latency, Row

# A network, what ran it and at which size: rows of one key differ in precision and rewrites only.
_Key = tuple[str | None, str | None, tuple[int, int]]


def slow_int8_lines(rows: Sequence[Row]) -> list[str]:
    """One line for each network, runtime and size whose fastest int8 row is behind a float row.

    Baselines, references and emulations are left out.
    """
    best: dict[_Key, dict[bool, tuple[Row, Latency]]] = {}
    for row in rows:
        latency = row.latency
        if latency is None or row.target is None or row.error or _is_other(row):
            continue
        kind = row.target.endswith("-int8")
        held = best.setdefault((row.network_name, row.runtime, latency.size), {})
        if kind not in held or latency.infer.median_ms < held[kind][1].infer.median_ms:
            held[kind] = (row, latency)
    return [line for held in best.values() if len(held) == 2 for line in _line(held)]


def _is_other(row: Row) -> bool:
    return row.baseline is not None or row.is_reference or row.emulated


def _line(held: dict[bool, tuple[Row, Latency]]) -> list[str]:
    (whole, whole_time), (int8, int8_time) = held[False], held[True]
    if int8_time.infer.median_ms <= whole_time.infer.median_ms:
        return []
    height, width = int8_time.size
    return [
        f"int8 is slower here at {height}x{width}: {int8.engine} takes "
        f"{int8_time.infer.median_ms:.1f} ms, {whole.engine} ({whole.precision or whole.target}) "
        f"{whole_time.infer.median_ms:.1f} ms."
    ]
