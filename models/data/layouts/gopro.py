"""GOPRO_Large, Nah et al. 2017; the DeblurGAN-v2 paper evaluates its linear subset, ``blur``."""

from __future__ import annotations

from pathlib import Path

from ..layout import SPLITS, Layout, children_of, ordered, split_folder
from ..pairs import Pair, PairSet, match_folders
from .flat import fitting_names

SUBSETS = ("blur", "blur_gamma")


def _find(root: Path, split: str, subset: str) -> PairSet | None:
    base, found_split = split_folder(root, split)
    scenes = {
        path: sides
        for name, path in children_of(base).items()
        # train/{blur,sharp} beside no test/ is a flat set's other split, not a scene named train.
        if name not in SPLITS and not {*SUBSETS, "sharp"}.isdisjoint(sides := children_of(path))
    }
    whole = [path for path, sides in scenes.items() if {subset, "sharp"} <= sides.keys()]
    if not whole and fitting_names(base):
        return None  # a flat set that keeps something else beside its two folders
    pairs: list[Pair] = []
    for scene, sides in scenes.items():
        _check_scene(scene, sides, subset)
        pairs += match_folders(sides[subset], sides["sharp"], prefix=f"{scene.name}/")
    return PairSet(f"gopro:{subset}", root, found_split, ordered(pairs)) if pairs else None


def _check_scene(scene: Path, sides: dict[str, Path], subset: str) -> None:
    # A scene left out because half of it is missing would change the score without a word.
    if "sharp" not in sides:
        there = next(side for side in SUBSETS if side in sides)
        raise ValueError(
            f"{scene}: no 'sharp' folder beside {there!r}; unpack it or remove the scene"
        )
    if subset not in sides:
        raise ValueError(
            f"{scene}: no {subset!r} folder beside 'sharp'; "
            f"unpack it or choose another subset ({', '.join(SUBSETS)})"
        )


LAYOUT = Layout(
    title="GOPRO_Large",
    find=_find,
    looks_like="GOPRO_Large ({split}/<scene>/{blur,blur_gamma,sharp})",
    rank=10,
    subsets=SUBSETS,
    has_splits=True,
)
