"""What a layout of pairs on disk has to tell, and the steps that several layouts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .pairs import NO_SPLIT, Pair, PairSet

SPLITS = ("train", "test", "val", "validation")
DEFAULT_SUBSET = "blur"


@dataclass(frozen=True)
class Layout:
    """One way to keep pairs on disk; ``LAYOUT`` of a file in ``layouts/``.

    Attributes:
        title: Its name in messages.
        find: (root, split, subset) -> the pairs, or None if the root is not laid out like this.
            Raises ValueError or FileNotFoundError if it is, but something is missing or wrong.
        looks_like: What it is recognised by, for the message that nothing fits; ``{split}`` in
            it becomes the split that was asked for.
        rank: Layouts of lower rank are asked first; the first that finds pairs is taken.
        subsets: The blurry sides to choose from, if there are several; all others have "blur".
        has_splits: Whether it keeps its splits in folders, so that a root inside the folder of
            another split is refused.
        reads_lists: Whether it reads list files. A list says more than names of folders, so such
            layouts are asked before the others; they alone are given a root that is a file.
    """

    title: str
    find: Callable[[Path, str, str], PairSet | None]
    looks_like: str
    rank: int = 100
    subsets: tuple[str, ...] = (DEFAULT_SUBSET,)
    has_splits: bool = False
    reads_lists: bool = False


def split_folder(root: Path, split: str) -> tuple[Path, str]:
    """The folder a split's pictures start in, and the split that this is."""
    inside = children_of(root).get(split.lower())
    if inside is not None:
        return inside, split
    return root, split if root.name.lower() == split.lower() else NO_SPLIT


def children_of(folder: Path) -> dict[str, Path]:
    """The folders directly inside `folder` by lower-case name, sorted."""
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def ordered(pairs: list[Pair]) -> tuple[Pair, ...]:
    """The pairs sorted by name."""
    return tuple(sorted(pairs, key=lambda pair: pair.name))
