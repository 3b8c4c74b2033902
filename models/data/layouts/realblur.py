"""RealBlur, Rim et al. 2020: list files, a line of which is ``sharp_path blur_path [...]``."""

from __future__ import annotations

from pathlib import Path

from ..layout import SPLITS, Layout, ordered
from ..pairs import NO_SPLIT, Pair, PairSet


def _find(root: Path, split: str, _subset: str) -> PairSet | None:
    if root.is_file():
        return _from_list(root, root.parent, split) if root.suffix.lower() == ".txt" else None
    lists = sorted(root.glob(f"*_{split}_list.txt"))
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise ValueError(f"{root}: several lists ({names}); pass one of these files as the root")
    return _from_list(lists[0], root, split) if lists else None


def _from_list(list_file: Path, root: Path, split: str) -> PairSet:
    named = [name for name in SPLITS if f"_{name}_" in f"_{list_file.stem.lower()}_"]
    if named and split.lower() not in named:
        raise ValueError(
            f"{list_file}: this lists {named[0]!r} but split {split!r} was asked for; "
            f"pass split={named[0]!r} or the list of that split"
        )
    pairs: dict[str, Pair] = {}
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2:
            raise ValueError(f"{list_file}:{number}: expected 'sharp_path blur_path'; got {line!r}")
        sharp, blurry = root / fields[0], root / fields[1]
        for path in (sharp, blurry):
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: listed in {list_file.name}:{number} but not there; "
                    f"unpack the pictures beside the list in {root}"
                )
        name = Path(fields[1]).with_suffix("").as_posix()
        if name in pairs:
            raise ValueError(f"{list_file}:{number}: {fields[1]} is listed twice; remove one line")
        pairs[name] = Pair(name, blurry, (sharp,))
    if not pairs:
        raise ValueError(f"{list_file}: no pairs in this list")
    found_split = split if named else NO_SPLIT
    return PairSet("realblur", root, found_split, ordered(list(pairs.values())))


LAYOUT = Layout(
    title="RealBlur",
    find=_find,
    looks_like="RealBlur (*_{split}_list.txt)",
    rank=50,
    reads_lists=True,
)
