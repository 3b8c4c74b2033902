"""Data sets of empty files."""

from pathlib import Path

from edgedeblur.models.data import PairSet


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def relative(found: PairSet) -> list[tuple[str, str, list[str]]]:
    return [
        (
            pair.name,
            pair.blurry.relative_to(found.root).as_posix(),
            [path.relative_to(found.root).as_posix() for path in pair.sharps],
        )
        for pair in found.pairs
    ]


def gopro(root: Path) -> None:
    for split, scene in (("train", "GOPR0372_07_00"), ("test", "GOPR0384_11_01")):
        for side in ("blur", "blur_gamma", "sharp"):
            touch(root, f"{split}/{scene}/{side}/000002.png", f"{split}/{scene}/{side}/000001.png")
    for side in ("blur", "blur_gamma", "sharp"):
        touch(root, f"test/GOPR0384_11_00/{side}/000001.png")
