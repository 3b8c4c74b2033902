"""Finds the pairs of a data set on disk. A layout is one file in ``layouts/``."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from .layout import DEFAULT_SUBSET, SPLITS, Layout, children_of
from .pairs import NO_SPLIT, PairSet

_LAYOUTS = f"{__name__.rpartition('.')[0]}.layouts"


def layouts() -> tuple[Layout, ...]:
    """All layouts, in the order of their rank; imports every module of ``layouts/``."""
    folders = importlib.import_module(_LAYOUTS).__path__
    names = sorted(info.name for info in pkgutil.iter_modules(folders))
    found: list[Layout] = [importlib.import_module(f"{_LAYOUTS}.{name}").LAYOUT for name in names]
    return tuple(sorted(found, key=lambda layout: layout.rank))


def find_pairs(root: Path | str, split: str = "test", subset: str = "blur") -> PairSet:
    """Find the pairs under `root`, a dataset folder, its split folder, or a RealBlur list file.

    `split` names the folder (or list file) read where the layout has splits. `subset`, `blur` or
    `blur_gamma`, chooses the blurry side of GOPRO_Large. The order is that of the names.

    Raises FileNotFoundError if the root or a listed picture does not exist; ValueError if no
    layout or more than one fits, if the two sides do not match, if the root is or lies in the
    folder of another split, or for an unknown subset.
    """
    root = Path(root).resolve()  # "." inside train/ must not hide that it is train
    known = layouts()
    subsets = list(dict.fromkeys(name for layout in known for name in layout.subsets))
    if subset not in subsets:
        raise ValueError(f"subset {subset!r} is unknown; choose one of {', '.join(subsets)}")
    if not root.exists():
        raise FileNotFoundError(
            f"{root}: no such dataset; pass the folder that holds the pictures or split folders"
        )
    if root.is_dir():
        _check_split_folder(root, split)
    layout, pair_set = _first_that_fits(known, root, split, subset)
    if pair_set.split == NO_SPLIT and layout.has_splits:
        _check_folders_above(root, split)
    if subset not in layout.subsets:
        owners = " and ".join(other.title for other in known if subset in other.subsets)
        raise ValueError(
            f"{root}: subset {subset!r} exists in {owners} only and this is "
            f"{pair_set.layout}; leave subset at {DEFAULT_SUBSET!r}"
        )
    return pair_set


def _first_that_fits(
    known: tuple[Layout, ...], root: Path, split: str, subset: str
) -> tuple[Layout, PairSet]:
    readers = [layout for layout in known if layout.reads_lists]
    others = [layout for layout in known if not layout.reads_lists]
    for layout in readers if root.is_file() else readers + others:
        pair_set = layout.find(root, split, subset)
        if pair_set is not None:
            return layout, pair_set
    if root.is_file():
        raise ValueError(f"{root}: neither a folder nor a .txt list of pairs")
    raise ValueError(_unrecognised(known, root, split))


def _check_split_folder(root: Path, split: str) -> None:
    # Reading train/ for a test result is the mistake that inflates figures, so it is an error.
    name = root.name.lower()
    if name in SPLITS and name != split.lower() and split.lower() not in children_of(root):
        raise ValueError(
            f"{root}: this is a {name!r} folder but split {split!r} was asked for; "
            f"pass split={name!r} or the folder of that split"
        )


def _check_folders_above(root: Path, split: str) -> None:
    # A scene of GOPRO_Large looks like a flat set, so train/<scene> would pass for test pictures.
    above = next((path for path in root.parents if path.name.lower() in SPLITS), None)
    if above is not None and above.name.lower() != split.lower():
        name = above.name.lower()
        raise ValueError(
            f"{root}: lies in the {name!r} folder {above} but split {split!r} was asked for; "
            f"pass split={name!r}, or name both sides (--data BLURRY --sharp SHARP)"
        )


def _unrecognised(known: tuple[Layout, ...], root: Path, split: str) -> str:
    looked_for = ", ".join(layout.looks_like.replace("{split}", split) for layout in known)
    return (
        f"{root}: no known layout of blurry/sharp pairs for split {split!r}. "
        f"Looked for: {looked_for}. "
        "Rename the folders, or name both sides (--data BLURRY --sharp SHARP)"
    )
