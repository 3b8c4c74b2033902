"""Finds pairs in the on-disk layouts of published deblurring sets.

| layout           | on disk, under the root                                                     |
|------------------|-----------------------------------------------------------------------------|
| gopro:blur       | `{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/NNNNNN.png`             |
| flat:input/target| `{train,test}/{input,target}/*`; also blur/sharp, blurry/sharp, input/GT and |
|                  | lq/gt in any case, with or without the split folder                         |
| dvd              | `quantitative_datasets/*/{input,GT}/*`                                      |
| kohler           | `[BlurryImages/]BlurryI_K.png` with `ImageI/KernelK/GroundTruthI_K_N.png`    |
| realblur         | `RealBlur_J_test_list.txt`: a line is `sharp_path blur_path [...]`          |

Sources: GOPRO_Large, Nah et al. 2017 (the DeblurGAN-v2 paper evaluates the linear subset,
`blur`); DVD, Su et al. 2017; Kohler et al. 2012 (the names are those inside the archives
`BlurryImages.zip` and `GroundTruth_pngs_ImageI.zip` of the benchmark's page); RealBlur, Rim et
al. 2020 (its list files). A repackaged Kohler set with other file names is not recognised: use
`pair_folders`.
"""

from __future__ import annotations

import re
from pathlib import Path

from .pairs import NO_SPLIT, PICTURE_SUFFIXES, Pair, PairSet, match_folders

SUBSETS = ("blur", "blur_gamma")
FLAT_NAMES = (
    ("input", "target"),
    ("blur", "sharp"),
    ("blurry", "sharp"),
    ("input", "gt"),
    ("lq", "gt"),
)
_SPLITS = ("train", "test", "val", "validation")
_KOHLER_BLURRY = re.compile(r"Blurry(\d+)_(\d+)", re.IGNORECASE)
_KOHLER_SHARP = re.compile(r"GroundTruth(\d+)_(\d+)_(\d+)", re.IGNORECASE)


def find_pairs(root: Path | str, split: str = "test", subset: str = "blur") -> PairSet:
    """Find the pairs under `root`, a dataset folder, its split folder, or a RealBlur list file.

    `split` names the folder (or list file) read where the layout has splits. `subset`, `blur` or
    `blur_gamma`, chooses the blurry side of GOPRO_Large. The order is that of the names.

    Raises FileNotFoundError if the root or a listed picture does not exist; ValueError if no
    layout or more than one fits, if the two sides do not match, if the root is or lies in the
    folder of another split, or for an unknown subset.
    """
    root = Path(root).resolve()  # "." inside train/ must not hide that it is train
    if subset not in SUBSETS:
        raise ValueError(f"subset {subset!r} is unknown; choose one of {', '.join(SUBSETS)}")
    if not root.exists():
        raise FileNotFoundError(
            f"{root}: no such dataset; pass the folder that holds the pictures or split folders"
        )
    if root.is_file():
        pair_set = _from_list(root, root.parent, split)
    else:
        _check_split_folder(root, split)
        pair_set = (
            _realblur(root, split)
            or _gopro(root, split, subset)
            or _flat(root, split)
            or _dvd(root)
            or _kohler(root)
        )
    if pair_set is None:
        raise ValueError(_unrecognised(root, split))
    if pair_set.split == NO_SPLIT and pair_set.layout.startswith(("gopro:", "flat:")):
        _check_folders_above(root, split)
    if subset != "blur" and not pair_set.layout.startswith("gopro:"):
        raise ValueError(
            f"{root}: subset {subset!r} exists in GOPRO_Large only and this is "
            f"{pair_set.layout}; leave subset at 'blur'"
        )
    return pair_set


def _check_split_folder(root: Path, split: str) -> None:
    # Reading train/ for a test result inflates the figures, so it is an error.
    name = root.name.lower()
    if name in _SPLITS and name != split.lower() and split.lower() not in _children(root):
        raise ValueError(
            f"{root}: this is a {name!r} folder but split {split!r} was asked for; "
            f"pass split={name!r} or the folder of that split"
        )


def _check_folders_above(root: Path, split: str) -> None:
    # A scene of GOPRO_Large looks like a flat set, so train/<scene> would pass for test pictures.
    above = next((path for path in root.parents if path.name.lower() in _SPLITS), None)
    if above is not None and above.name.lower() != split.lower():
        name = above.name.lower()
        raise ValueError(
            f"{root}: lies in the {name!r} folder {above} but split {split!r} was asked for; "
            f"pass split={name!r}, or name both sides (--data BLURRY --sharp SHARP)"
        )


def _base(root: Path, split: str) -> tuple[Path, str]:
    """The folder a split's pictures start in, and the split that this is."""
    inside = _children(root).get(split.lower())
    if inside is not None:
        return inside, split
    return root, split if root.name.lower() == split.lower() else NO_SPLIT


def _children(folder: Path) -> dict[str, Path]:
    """The folders directly inside `folder` by lower-case name, sorted."""
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def _gopro(root: Path, split: str, subset: str) -> PairSet | None:
    base, found_split = _base(root, split)
    scenes = {
        path: sides
        for name, path in _children(base).items()
        # train/{blur,sharp} beside no test/ is a flat set's other split, not a scene named train.
        if name not in _SPLITS and not {*SUBSETS, "sharp"}.isdisjoint(sides := _children(path))
    }
    whole = [path for path, sides in scenes.items() if {subset, "sharp"} <= sides.keys()]
    if not whole and _fitting_names(base):
        return None  # a flat set with other folders beside its two
    pairs: list[Pair] = []
    for scene, sides in scenes.items():
        _check_scene(scene, sides, subset)
        pairs += match_folders(sides[subset], sides["sharp"], prefix=f"{scene.name}/")
    return PairSet(f"gopro:{subset}", root, found_split, _ordered(pairs)) if pairs else None


def _check_scene(scene: Path, sides: dict[str, Path], subset: str) -> None:
    # A scene left out because half of it is missing would silently change the score.
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


def _flat(root: Path, split: str) -> PairSet | None:
    base, found_split = _base(root, split)
    folders, fits = _children(base), _fitting_names(base)
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
    return PairSet(f"flat:{blurry}/{sharp}", root, found_split, _ordered(pairs))


def _fitting_names(base: Path) -> list[tuple[str, str]]:
    """The pairs of `FLAT_NAMES` that both lie in `base`."""
    folders = _children(base)
    return [names for names in FLAT_NAMES if names[0] in folders and names[1] in folders]


def _dvd(root: Path) -> PairSet | None:
    folder = root if root.name == "quantitative_datasets" else root / "quantitative_datasets"
    if not folder.is_dir():
        return None
    pairs: list[Pair] = []
    for video in _children(folder).values():
        sides = _children(video)
        if "input" not in sides or "gt" not in sides:
            raise ValueError(f"{video}: a DVD video holds the folders input and GT; unpack both")
        pairs += match_folders(sides["input"], sides["gt"], prefix=f"{video.name}/")
    return PairSet("dvd", root, NO_SPLIT, _ordered(pairs)) if pairs else None


def _kohler(root: Path) -> PairSet | None:
    shots: dict[tuple[int, int], Path] = {}
    for folder in (root, *_children(root).values()):
        for path, (image, kernel) in _numbered(folder, _KOHLER_BLURRY):
            if (image, kernel) in shots:
                raise ValueError(f"{path} repeats {shots[image, kernel]}; remove one of them")
            shots[image, kernel] = path
    if not shots:
        return None
    sharps: dict[tuple[int, int], dict[int, Path]] = {}
    for folder in (root, *(path for path in sorted(root.rglob("*")) if path.is_dir())):
        for path, (image, kernel, frame) in _numbered(folder, _KOHLER_SHARP):
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


def _realblur(root: Path, split: str) -> PairSet | None:
    lists = sorted(root.glob(f"*_{split}_list.txt"))
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise ValueError(f"{root}: several lists ({names}); pass one of these files as the root")
    return _from_list(lists[0], root, split) if lists else None


def _from_list(list_file: Path, root: Path, split: str) -> PairSet:
    if list_file.suffix.lower() != ".txt":
        raise ValueError(f"{list_file}: neither a folder nor a .txt list of pairs")
    named = [name for name in _SPLITS if f"_{name}_" in f"_{list_file.stem.lower()}_"]
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
    return PairSet("realblur", root, found_split, _ordered(list(pairs.values())))


def _ordered(pairs: list[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def _unrecognised(root: Path, split: str) -> str:
    flat = ", ".join(f"{{{blurry},{sharp}}}" for blurry, sharp in FLAT_NAMES)
    return (
        f"{root}: no known layout of blurry/sharp pairs for split {split!r}. Looked for: "
        f"GOPRO_Large ({split}/<scene>/{{blur,blur_gamma,sharp}}), flat folders {flat} "
        f"here or in {split}/, DVD (quantitative_datasets/*/{{input,GT}}), Kohler "
        f"(Blurry1_1.png and Image1/Kernel1/GroundTruth1_1_1.png), RealBlur "
        f"(*_{split}_list.txt). "
        "Rename the folders, or name both sides (--data BLURRY --sharp SHARP)"
    )
