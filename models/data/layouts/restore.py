"""Pairs by degradation, as `restore.write_restore_set` writes them: ``<kind>/{blurry,sharp}``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..layout import Layout, children_of, ordered
from ..pairs import NO_SPLIT, Pair, PairSet, match_folders
from ..restore import KINDS, MOTION

NAME = "restore"


def _find(root: Path, _split: str, _subset: str) -> PairSet | None:
    folders = children_of(root)
    kinds = [kind for kind in (MOTION, *KINDS) if kind in folders]
    if not set(kinds) & set(KINDS):
        return None
    pairs: list[Pair] = []
    for kind in kinds:
        sides = children_of(folders[kind])
        if not {"blurry", "sharp"} <= set(sides):
            return None
        found = match_folders(sides["blurry"], sides["sharp"])
        pairs += [dataclasses.replace(pair, name=f"{kind}/{pair.name}") for pair in found]
    return PairSet(NAME, root, NO_SPLIT, ordered(pairs))


LAYOUT = Layout(
    title="Restore",
    find=_find,
    looks_like=f"a Restore set ({', '.join(KINDS)}, each with blurry/ and sharp/)",
    rank=1,
)
