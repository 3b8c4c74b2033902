"""The tables of measured rewrites: this machine's own, and the packaged ``rewrites.json``.

A table is JSON: ``<target>/<network>/<CPU family>`` -> the fastest rewrite, with every candidate's
times. The network is `Checkpoint.key`, the family one of `machine.CPU_FAMILIES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.checkpoints.sources import cache_folder
from ...models.network.widths import backbone_of
from ...runtimes.machine import cpu_family, nearest_families
from .rewrite import parse_steps

PACKAGED_TABLE = Path(__file__).parent / "rewrites.json"


@dataclass(frozen=True)
class Entry:
    """What was measured for a target and network on a machine.

    ``rewrite`` is the chosen candidate, ``best_ms`` its first quartile at ``size`` (height, width)
    on ``threads`` CPU threads; None where the table does not hold it.
    """

    target: str
    network: str
    family: str
    machine: str
    rewrite: str
    size: tuple[int, int]
    threads: int
    best_ms: float | None

    @property
    def condition(self) -> str:
        """Machine, size and threads, as in ``AMD EPYC (avx512), 736x1280, 2 threads``."""
        height, width = self.size
        return f"{self.machine} ({self.family}), {height}x{width}, {self.threads} threads"


@dataclass(frozen=True)
class Choice:
    """Rewrites as a text for `parse_steps`, and one line that says where they come from."""

    rewrite: str
    provenance: str


def user_table() -> Path:
    """Path of this machine's table, which exists once it was tuned."""
    return cache_folder() / "rewrites.json"


def table_key(target: str, network: str) -> str:
    """What this machine's measurements of a target and `Checkpoint.key` are stored under."""
    return f"{target}/{network}/{cpu_family()}"


def best_rewrite(target: str, network: str, *, family: str | None = None) -> Choice:
    """The fastest rewrites measured for a target and network, or else for what is nearest to them.

    The same network comes before its backbone at full width, and for either the same CPU family
    before the nearest other. At equal distance this machine's table comes before the packaged one.

    Args:
        target: Name of the target.
        network: `Checkpoint.key`.
        family: CPU family; None for this machine's.

    Returns:
        The choice; its rewrites are ``none`` if nothing was measured.

    Raises:
        ValueError: a table is not JSON or not a table, or names rewrites that do not exist.
    """
    here = family or cpu_family()
    found = [entry for entry in (*_entries(user_table(), here), *_entries(PACKAGED_TABLE, here))
             if entry.target == target]  # fmt: skip
    for wanted in dict.fromkeys((network, backbone_of(network))):
        for near in nearest_families(here):
            for entry in found:
                if (entry.network, entry.family) == (wanted, near):
                    parse_steps(entry.rewrite)
                    return Choice(entry.rewrite, _provenance(entry, network, here))
    return Choice("none", "not tuned for this target and network; see deblur-export --tune")


def faster_float(
    target: str, floats: Sequence[str], network: str, size: tuple[int, int]
) -> str | None:
    """One line if a table of this CPU family holds a float target that is faster than int8.

    Args:
        target: The int8 target.
        floats: Float targets of the same runtime.
        network: `Checkpoint.key`.
        size: (height, width) in pixels.

    Returns:
        The line, with both times; None if int8 was faster, or if no machine measured both at that
        size with as many threads.

    Raises:
        ValueError: as `best_rewrite`.
    """
    here = cpu_family()
    for table in (user_table(), PACKAGED_TABLE):
        found = [entry for entry in _entries(table, here)
                 if (entry.network, entry.family, entry.size) == (network, here, size)]  # fmt: skip
        int8 = next((entry for entry in found if entry.target == target), None)
        if int8 is None or int8.best_ms is None:
            continue
        rivals = [(entry.best_ms, entry.target) for entry in found
                  if entry.target in floats and entry.condition == int8.condition
                  and entry.best_ms is not None]  # fmt: skip
        if rivals:
            best_ms, best = min(rivals)
            if best_ms >= int8.best_ms:
                return None
            times = f"{int8.best_ms:.1f} and {best_ms:.1f} ms on {int8.condition}"
            return f"{target} is slower than {best}: {times}"
    return None


def read_table(table: Path) -> dict[str, Any]:
    """The table's JSON by key, empty if there is no file.

    Raises:
        ValueError: not JSON, or not a table.
    """
    if not table.exists():
        return {}
    try:
        content = json.loads(table.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{table}: not JSON ({error}); delete it and tune again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{table}: not a table of rewrites; delete it and tune again")
    return content


def _entries(table: Path, here: str) -> list[Entry]:
    """The table's entries; a key of the old form, without family, stands for this machine's."""
    content = read_table(table)
    keys = sorted(content, key=lambda key: (-key.count("/"), key))  # what names a family wins
    try:
        return [_entry(key, content[key], here) for key in keys]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{table}: not a table of rewrites ({error}); delete it and tune again"
        ) from error


def _entry(key: str, body: Mapping[str, Any], here: str) -> Entry:
    target, network, *family = key.split("/")
    height, width = body["size"]
    times = {c["rewrite"]: c.get("quartile_ms") for c in body["candidates"]}
    return Entry(
        target,
        network,
        family[0] if family else here,
        body["machine"],
        body["rewrite"],
        (height, width),
        body["threads"],
        times.get(body["rewrite"]),
    )


def _provenance(entry: Entry, network: str, here: str) -> str:
    line = f"tuned for {entry.network} on {entry.condition}"
    others = [
        *(["network"] if entry.network != network else []),
        *([f"CPU family ({here})"] if entry.family != here else []),
    ]
    if not others:
        return line
    return f"{line}, not for this {' or '.join(others)}: run deblur-export --tune here"
