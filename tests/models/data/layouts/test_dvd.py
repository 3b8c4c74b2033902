"""DVD's folders per video."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .support import touch


def test_dvd(tmp_path: Path) -> None:
    for video in ("IMG_0030", "720p_240fps_2"):
        touch(tmp_path, f"quantitative_datasets/{video}/input/00001.jpg")
        touch(tmp_path, f"quantitative_datasets/{video}/GT/00001.jpg")
    found = find_pairs(tmp_path)
    assert (found.layout, found.split) == ("dvd", "all")
    assert [pair.name for pair in found.pairs] == ["720p_240fps_2/00001", "IMG_0030/00001"]
    inside = find_pairs(tmp_path / "quantitative_datasets")
    assert (inside.layout, inside.list_sha256) == ("dvd", found.list_sha256)
    touch(tmp_path, "quantitative_datasets/IMG_0031/input/00001.jpg")
    with pytest.raises(ValueError, match="IMG_0031: a DVD video holds the folders input and GT"):
        find_pairs(tmp_path)
