"""Two folders side by side, one blurry and one sharp, with or without the split's folder."""

from __future__ import annotations

from pathlib import Path

from ..layout import Layout, children_of, ordered, split_folder
from ..pairs import PairSet, match_folders

FLAT_NAMES = (
    ("input", "target"),
    ("blur", "sharp"),
    ("blurry", "sharp"),
    ("input", "gt"),
    ("lq", "gt"),
)


def _find(root: Path, split: str, _subset: str) -> PairSet | None:
    base, found_split = split_folder(root, split)
    folders, fits = children_of(base), fitting_names(base)
    if not fits:
        return None
    if len(fits) > 1:
        choices = ", ".join("/".join(names) for names in fits)
        raise ValueError(
            f"{base}: several pairs of folders fit ({choices}); "
            "name both sides (--data BLURRY --sharp SHARP)"
        )
    blurry, sharp = fits[0]
    pairs = match_folders(folders[blurry], folders[sharp])
    return PairSet(f"flat:{blurry}/{sharp}", root, found_split, ordered(pairs))


def fitting_names(base: Path) -> list[tuple[str, str]]:
    """The pairs of `FLAT_NAMES` that both lie in `base`."""
    folders = children_of(base)
    return [names for names in FLAT_NAMES if names[0] in folders and names[1] in folders]


_NAMES = ", ".join(f"{{{blurry},{sharp}}}" for blurry, sharp in FLAT_NAMES)
LAYOUT = Layout(
    title="flat folders",
    find=_find,
    looks_like=f"flat folders {_NAMES} here or in {{split}}/",
    rank=20,
    has_splits=True,
)
