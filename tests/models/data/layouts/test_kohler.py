"""The Kohler benchmark's file names."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .support import touch


@pytest.mark.parametrize("folder", ["", "BlurryImages/"])
def test_kohler(tmp_path: Path, folder: str) -> None:
    for image in range(1, 5):
        for kernel in range(1, 13):
            touch(tmp_path, f"{folder}Blurry{image}_{kernel}.png")
            for frame in (10, 2, 1):
                name = f"Image{image}/Kernel{kernel}/GroundTruth{image}_{kernel}_{frame}.png"
                touch(tmp_path, name)
    found = find_pairs(tmp_path)
    assert (found.layout, found.split, len(found.pairs)) == ("kohler", "all", 48)
    first, tenth = found.pairs[0], found.pairs[9]
    assert (first.name, tenth.name, found.pairs[-1].name) == (
        "Blurry1_1",
        "Blurry1_10",
        "Blurry4_12",
    )
    assert [path.name for path in first.sharps] == [
        "GroundTruth1_1_1.png",
        "GroundTruth1_1_2.png",
        "GroundTruth1_1_10.png",
    ]
    assert "48 pairs (144 sharp references)" in found.describe()


def test_kohler_wrong(tmp_path: Path) -> None:
    touch(tmp_path, "BlurryImages/Blurry1_1.png")
    with pytest.raises(ValueError, match=r"Blurry1_1\.png: no sharp references"):
        find_pairs(tmp_path)
    touch(tmp_path, "Image1/Kernel1/GroundTruth1_1_1.png", "copy/GroundTruth1_1_1.png")
    with pytest.raises(ValueError, match=r"GroundTruth1_1_1\.png repeats"):
        find_pairs(tmp_path)
    touch(tmp_path, "Blurry1_1.png")
    with pytest.raises(ValueError, match=r"Blurry1_1\.png repeats"):
        find_pairs(tmp_path)
