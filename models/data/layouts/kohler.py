"""Kohler et al. 2012: one blurry picture per image and kernel, many sharp frames along its path.

The names are those inside the archives ``BlurryImages.zip`` and ``GroundTruth_pngs_ImageI.zip``
of the benchmark's page.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..layout import Layout, children_of
from ..pairs import NO_SPLIT, PICTURE_SUFFIXES, Pair, PairSet

_BLURRY = re.compile(r"Blurry(\d+)_(\d+)", re.IGNORECASE)
_SHARP = re.compile(r"GroundTruth(\d+)_(\d+)_(\d+)", re.IGNORECASE)


def _find(root: Path, _split: str, _subset: str) -> PairSet | None:
    shots: dict[tuple[int, int], Path] = {}
    for folder in (root, *children_of(root).values()):
        for path, (image, kernel) in _numbered(folder, _BLURRY):
            if (image, kernel) in shots:
                raise ValueError(f"{path} repeats {shots[image, kernel]}; remove one of them")
            shots[image, kernel] = path
    if not shots:
        return None
    sharps: dict[tuple[int, int], dict[int, Path]] = {}
    for folder in (root, *(path for path in sorted(root.rglob("*")) if path.is_dir())):
        for path, (image, kernel, frame) in _numbered(folder, _SHARP):
            frames = sharps.setdefault((image, kernel), {})
            if frame in frames:
                raise ValueError(f"{path} repeats {frames[frame]}; remove one of them")
            frames[frame] = path
    pairs: list[Pair] = []
    for (image, kernel), shot in sorted(shots.items()):
        frames = sharps.get((image, kernel), {})
        if not frames:
            raise ValueError(
                f"{shot}: no sharp references; unpack "
                f"Image{image}/Kernel{kernel}/GroundTruth{image}_{kernel}_*.png under {root}"
            )
        references = tuple(path for _, path in sorted(frames.items()))
        pairs.append(Pair(f"Blurry{image}_{kernel}", shot, references))
    return PairSet("kohler", root, NO_SPLIT, tuple(pairs))


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, tuple[int, ...]]]:
    """Pictures directly in `folder` whose whole stem fits `pattern`, with its numbers."""
    found: list[tuple[Path, tuple[int, ...]]] = []
    for path in sorted(folder.iterdir()):
        match = pattern.fullmatch(path.stem)
        if match and path.suffix.lower() in PICTURE_SUFFIXES:
            found.append((path, tuple(int(number) for number in match.groups())))
    return found


LAYOUT = Layout(
    title="Kohler",
    find=_find,
    looks_like="Kohler (Blurry1_1.png and Image1/Kernel1/GroundTruth1_1_1.png)",
    rank=40,
)
