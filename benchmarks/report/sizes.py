"""Download sizes: bytes of each target's file, by network."""

from __future__ import annotations

from collections.abc import Sequence

from ..result import Row

_NONE = "-"


def size_table(rows: Sequence[Row]) -> list[list[str]]:
    """Size by target, headings first; empty if no two targets were measured.

    MB are 10^6 bytes. A quantised or half-precision file also says how large it is next to the
    float32 one of its format, if that was measured too.
    """
    sizes = {
        (row.target, row.network_name): row.footprint.bytes
        for row in rows
        if row.target and row.network_name and row.footprint and row.baseline is None
    }
    targets = list(dict.fromkeys(target for target, _ in sizes))
    networks = list(dict.fromkeys(network for _, network in sizes))
    if len(targets) < 2:
        return []
    table = [["target", *(f"{network}, MB" for network in networks)]]
    for target in targets:
        whole = f"{target.rpartition('-')[0]}-fp32"
        cells: list[str] = []
        for network in networks:
            size, base = sizes.get((target, network)), sizes.get((whole, network))
            share = f" ({100 * size / base:.0f} %)" if size and base and target != whole else ""
            cells.append(f"{size / 1e6:.2f}{share}" if size else _NONE)
        table.append([target, *cells])
    return table
