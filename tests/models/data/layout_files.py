"""Builds data sets of empty files, and names the pairs found in them."""

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
