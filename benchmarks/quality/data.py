"""The pictures of a benchmark: a data set on disk, or the packaged samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ...models.data.pairs import PairSet, pair_folders
from ...models.data.registry import find_pairs
from ..result import DataSet
from ..workers.jobs import PictureFiles

SAMPLES = "samples"


def load_data(
    root: Path | None, *, split: str, subset: str, limit: int | None, sharp: Path | None = None
) -> tuple[DataSet, tuple[PictureFiles, ...]]:
    """Find the pairs of a data set.

    Args:
        root: Folder of a data set; None for the packaged samples.
        split: ``test``, ``train``, ...
        subset: Blurry side of GOPRO_Large.
        limit: Use only the first so many pairs, by name.
        sharp: The sharp pictures' folder, if ``root`` is the folder of the blurry ones.

    Raises:
        ValueError: no pairs, or no layout fits.
        FileNotFoundError: no such folder.
    """
    folder = root if root is not None else Path(__file__).parents[1] / SAMPLES
    if sharp is not None:
        found = pair_folders(folder, sharp)
    else:
        found = find_pairs(folder, split=split, subset=subset)
    pairs = found.pairs if limit is None else found.pairs[:limit]
    if not pairs:
        raise ValueError(f"{folder}: no pairs to compare; check --data, --split and --limit")
    # The hash is taken over what is used: a limited run must not look like a whole one.
    used: PairSet = dataclasses.replace(found, pairs=pairs)
    described = DataSet(
        name=SAMPLES if root is None else folder.resolve().name,
        layout=used.layout,
        split=used.split,
        pairs=len(pairs),
        list_sha256=used.list_sha256,
    )
    files = tuple(
        PictureFiles(pair.name, str(pair.blurry), tuple(str(path) for path in pair.sharps))
        for pair in pairs
    )
    return described, files
