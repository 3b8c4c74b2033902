"""Two folders side by side, with and without a split's folder."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .support import relative, touch


def test_a_flat_set_may_keep_other_folders_beside_its_two(tmp_path: Path) -> None:
    touch(tmp_path, "input/1.png", "target/1.png", "spare/sharp/1.png")
    assert find_pairs(tmp_path).layout == "flat:input/target"


@pytest.mark.parametrize("part", ["GOPR0372_07_00", "part/one"])
@pytest.mark.parametrize("sides", [("blur", "sharp"), ("input", "target")])
def test_a_folder_inside_another_split_is_refused(
    tmp_path: Path, part: str, sides: tuple[str, str]
) -> None:
    root = tmp_path / "train" / part
    touch(root, *(f"{side}/1.png" for side in sides))
    with pytest.raises(ValueError, match=r"lies in the 'train' folder .*train but split 'test'"):
        find_pairs(root)
    assert find_pairs(root, "train").split == "all"


def test_another_split_is_not_a_scene(tmp_path: Path) -> None:
    touch(tmp_path, "train/blur/1.png", "train/sharp/1.png")
    with pytest.raises(ValueError, match="no known layout of blurry/sharp pairs for split 'test'"):
        find_pairs(tmp_path)


def test_a_split_inside_a_folder_named_like_another_is_read(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "set", "Test/blur/1.png", "Test/sharp/1.png")
    assert find_pairs(tmp_path / "train" / "set").split == "test"


@pytest.mark.parametrize(
    ("blurry", "sharp", "layout"),
    [
        ("input", "target", "flat:input/target"),
        ("blur", "sharp", "flat:blur/sharp"),
        ("blurry", "sharp", "flat:blurry/sharp"),
        ("input", "GT", "flat:input/gt"),
        ("LQ", "gt", "flat:lq/gt"),
        ("Blur", "SHARP", "flat:blur/sharp"),
    ],
)
def test_flat(tmp_path: Path, blurry: str, sharp: str, layout: str) -> None:
    touch(tmp_path, f"{blurry}/b.png", f"{blurry}/a.JPG", f"{sharp}/a.png", f"{sharp}/b.tiff")
    touch(tmp_path, f"{blurry}/notes.txt", f"{sharp}/.hidden.png")
    found = find_pairs(tmp_path)
    assert (found.layout, found.split) == (layout, "all")
    assert relative(found) == [
        ("a", f"{blurry}/a.JPG", [f"{sharp}/a.png"]),
        ("b", f"{blurry}/b.png", [f"{sharp}/b.tiff"]),
    ]


def test_flat_with_split_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/input/1.png", "train/target/1.png")
    touch(tmp_path, "test/input/2.png", "test/target/2.png")
    found = find_pairs(tmp_path, "train")
    assert (found.split, relative(found)) == (
        "train",
        [("1", "train/input/1.png", ["train/target/1.png"])],
    )
    assert find_pairs(tmp_path / "test").split == "test"


def test_flat_that_fits_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "input/1.png", "target/1.png", "gt/1.png")
    with pytest.raises(ValueError, match=r"several pairs of folders fit \(input/target, input/gt"):
        find_pairs(tmp_path)
