"""Pairs of blurry and sharp pictures on disk, matched by file name.

A blurry and a sharp file belong together when their names agree without the suffix, so
`000001.png` goes with `000001.jpg`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
NO_SPLIT = "all"
_SHOWN = 5


@dataclass(frozen=True)
class Pair:
    """One blurry picture and its sharp references.

    `name` is unique in its set, uses `/`, has no suffix (`GOPR0384_11_00/000001`). `sharps` holds
    one path, except for the Kohler benchmark: there, all frames along the camera's path, and the
    score of a picture is its best over them (Kohler et al. 2012, section 4).
    """

    name: str
    blurry: Path
    sharps: tuple[Path, ...]


@dataclass(frozen=True)
class PairSet:
    """The pairs found under `root`, in a fixed order, and the layout they were found by.

    `split` is the split that was read, or `all` where the layout keeps none on disk.
    """

    layout: str
    root: Path
    split: str
    pairs: tuple[Pair, ...]

    @property
    def list_sha256(self) -> str:
        """SHA-256 (hex) of the sorted lines `name<TAB>number of sharps<LF>`, in UTF-8.

        It depends on neither the machine's folders nor the pixels: two results with the same
        hash were measured over the same list.
        """
        lines = sorted(f"{pair.name}\t{len(pair.sharps)}\n" for pair in self.pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def describe(self) -> str:
        """One line: layout, split, how many pairs, where, and the list's hash."""
        split = "no split on disk" if self.split == NO_SPLIT else f"split {self.split}"
        sharps = sum(len(pair.sharps) for pair in self.pairs)
        pairs = f"{len(self.pairs)} pair{'s' if len(self.pairs) != 1 else ''}"
        if sharps != len(self.pairs):
            pairs += f" ({sharps} sharp references)"
        return f"{self.layout}, {split}: {pairs} in {self.root} (list {self.list_sha256[:12]})"


def list_pictures(folder: Path) -> dict[str, Path]:
    """Pictures directly in `folder`, as stem -> path, sorted by stem; hidden files are skipped.

    Raises FileNotFoundError if there is no such folder, ValueError if two pictures share a stem.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of pictures; check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if path.stem in found:
            raise ValueError(
                f"{folder}: {found[path.stem].name} and {path.name} differ only in their suffix, "
                "so pairing by name is ambiguous; remove one of them"
            )
        found[path.stem] = path
    return dict(sorted(found.items()))


def match_folders(blurry_dir: Path, sharp_dir: Path, prefix: str = "") -> list[Pair]:
    """Pair the pictures of two folders by stem, sorted; `prefix` goes in front of each name.

    Raises FileNotFoundError for a missing folder; ValueError if a folder holds no picture or if
    any picture is left without a partner.
    """
    blurry, sharp = list_pictures(blurry_dir), list_pictures(sharp_dir)
    for folder, pictures in ((blurry_dir, blurry), (sharp_dir, sharp)):
        if not pictures:
            kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
            raise ValueError(f"{folder}: no pictures ({kinds}) in this folder; nothing to pair")
    if blurry.keys() != sharp.keys():
        raise ValueError(_mismatch(blurry_dir, blurry, sharp_dir, sharp))
    return [Pair(prefix + stem, path, (sharp[stem],)) for stem, path in blurry.items()]


def pair_folders(blurry_dir: Path | str, sharp_dir: Path | str) -> PairSet:
    """Pair two parallel folders by file name without suffix.

    Raises FileNotFoundError for a missing folder; ValueError when a folder is empty or the names
    do not match (up to five names from each side are given).
    """
    blurry_dir, sharp_dir = Path(blurry_dir), Path(sharp_dir)
    pairs = match_folders(blurry_dir, sharp_dir)
    root = blurry_dir.parent if blurry_dir.parent == sharp_dir.parent else blurry_dir
    return PairSet("folders", root, NO_SPLIT, tuple(pairs))


def _mismatch(
    blurry_dir: Path, blurry: dict[str, Path], sharp_dir: Path, sharp: dict[str, Path]
) -> str:
    sides: list[str] = []
    for folder, mine, theirs in ((blurry_dir, blurry, sharp), (sharp_dir, sharp, blurry)):
        unmatched = sorted(mine.keys() - theirs.keys())
        shown = ", ".join(mine[stem].name for stem in unmatched[:_SHOWN])
        more = f" and {len(unmatched) - _SHOWN} more" if len(unmatched) > _SHOWN else ""
        names = f": {shown}{more}" if unmatched else ""
        sides.append(f"{len(unmatched)} of {len(mine)} only in {folder}{names}")
    return (
        f"the pictures do not match by name: {'; '.join(sides)}; "
        "give both sides of a pair the same name"
    )
