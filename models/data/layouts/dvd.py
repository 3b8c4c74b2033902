"""DVD, Su et al. 2017: a folder per video, with the folders input and GT."""

from __future__ import annotations

from pathlib import Path

from ..layout import Layout, children_of, ordered
from ..pairs import NO_SPLIT, Pair, PairSet, match_folders


def _find(root: Path, _split: str, _subset: str) -> PairSet | None:
    folder = root if root.name == "quantitative_datasets" else root / "quantitative_datasets"
    if not folder.is_dir():
        return None
    pairs: list[Pair] = []
    for video in children_of(folder).values():
        sides = children_of(video)
        if "input" not in sides or "gt" not in sides:
            raise ValueError(f"{video}: a DVD video holds the folders input and GT; unpack both")
        pairs += match_folders(sides["input"], sides["gt"], prefix=f"{video.name}/")
    return PairSet("dvd", root, NO_SPLIT, ordered(pairs)) if pairs else None


LAYOUT = Layout(
    title="DVD",
    find=_find,
    looks_like="DVD (quantitative_datasets/*/{input,GT})",
    rank=30,
)
