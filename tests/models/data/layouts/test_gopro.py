"""GOPRO_Large, and its splits that must not be mixed up."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .support import gopro, relative, touch


def test_gopro(tmp_path: Path) -> None:
    gopro(tmp_path)
    found = find_pairs(tmp_path)
    assert (found.layout, found.split, found.root) == ("gopro:blur", "test", tmp_path)
    base = "test/GOPR0384_11_0"
    assert relative(found) == [
        ("GOPR0384_11_00/000001", f"{base}0/blur/000001.png", [f"{base}0/sharp/000001.png"]),
        ("GOPR0384_11_01/000001", f"{base}1/blur/000001.png", [f"{base}1/sharp/000001.png"]),
        ("GOPR0384_11_01/000002", f"{base}1/blur/000002.png", [f"{base}1/sharp/000002.png"]),
    ]
    assert [pair.name for pair in find_pairs(tmp_path, "train").pairs] == [
        "GOPR0372_07_00/000001",
        "GOPR0372_07_00/000002",
    ]


def test_gopro_gamma_subset_and_the_split_folder_itself(tmp_path: Path) -> None:
    gopro(tmp_path)
    found = find_pairs(tmp_path / "test", subset="blur_gamma")
    assert (found.layout, found.split) == ("gopro:blur_gamma", "test")
    assert all(pair.blurry.parent.name == "blur_gamma" for pair in found.pairs)
    assert found.list_sha256 == find_pairs(tmp_path).list_sha256


def test_the_wrong_split_folder_is_refused(tmp_path: Path) -> None:
    gopro(tmp_path)
    with pytest.raises(ValueError, match="this is a 'train' folder but split 'test'"):
        find_pairs(tmp_path / "train")
    with pytest.raises(ValueError, match="no known layout"):
        find_pairs(tmp_path, "val")


def test_gopro_scene_without_the_subset(tmp_path: Path) -> None:
    touch(tmp_path, "test/GOPR1/blur/1.png", "test/GOPR1/sharp/1.png")
    with pytest.raises(ValueError, match="GOPR1: no 'blur_gamma' folder beside 'sharp'"):
        find_pairs(tmp_path, subset="blur_gamma")


@pytest.mark.parametrize(
    ("half", "subset", "message"),
    [
        ("blur", "blur", "GOPR2: no 'sharp' folder beside 'blur'; unpack it"),
        ("blur_gamma", "blur", "GOPR2: no 'sharp' folder beside 'blur_gamma'; unpack it"),
        ("sharp", "blur", "GOPR2: no 'blur' folder beside 'sharp'; unpack it"),
        ("sharp", "blur_gamma", "GOPR2: no 'blur_gamma' folder beside 'sharp'; unpack it"),
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_half_a_gopro_scene_is_refused(
    tmp_path: Path, half: str, subset: str, message: str, alone: bool
) -> None:
    if not alone:
        for side in ("blur", "blur_gamma", "sharp"):
            touch(tmp_path, f"test/GOPR1/{side}/1.png")
    touch(tmp_path, f"test/GOPR2/{half}/1.png", "test/notes/readme.txt")
    with pytest.raises(ValueError, match=message):
        find_pairs(tmp_path, subset=subset)


def test_scenes_inside_another_split_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "part", "GOPR1/blur/1.png", "GOPR1/sharp/1.png")
    with pytest.raises(ValueError, match=r"lies in the 'train' folder .*train but split 'test'"):
        find_pairs(tmp_path / "train" / "part")


def test_the_working_directory_inside_another_split_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gopro(tmp_path)
    monkeypatch.chdir(tmp_path / "train")
    with pytest.raises(ValueError, match="this is a 'train' folder but split 'test'"):
        find_pairs(".")
    monkeypatch.chdir("GOPR0372_07_00")
    with pytest.raises(ValueError, match="lies in the 'train' folder"):
        find_pairs(".")
    monkeypatch.chdir(tmp_path / "test" / "GOPR0384_11_01")
    assert len(find_pairs(".").pairs) == 2
