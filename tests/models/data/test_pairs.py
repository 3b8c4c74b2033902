"""How two folders are matched by name, and what a set of pairs tells of itself."""

import hashlib
from pathlib import Path

import pytest
from edgedeblur.models.data import Pair, PairSet, find_pairs, pair_folders

from .layouts.support import touch


def test_names_that_do_not_match(tmp_path: Path) -> None:
    touch(tmp_path, *(f"input/only{n}.png" for n in range(7)), "input/both.png")
    touch(tmp_path, "target/both.png", "target/alone.jpg")
    with pytest.raises(ValueError, match="do not match by name") as caught:
        find_pairs(tmp_path)
    message = str(caught.value)
    assert "7 of 8 only in" in message
    assert "only0.png, only1.png, only2.png, only3.png, only4.png and 2 more" in message
    assert "1 of 2 only in" in message
    assert "alone.jpg" in message
    assert "only5" not in message
    assert "\n" not in message


def test_names_missing_on_one_side_only(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "input/b.png", "target/a.png")
    with pytest.raises(ValueError, match=r"1 of 2 only in .*input: b\.png; 0 of 1 only in"):
        find_pairs(tmp_path)


def test_empty_folders_and_double_stems(tmp_path: Path) -> None:
    touch(tmp_path, "input/readme.txt", "target/1.png")
    with pytest.raises(ValueError, match=r"input: no pictures \(bmp, jpeg, jpg, png"):
        find_pairs(tmp_path)
    touch(tmp_path, "input/1.png", "input/1.jpg")
    with pytest.raises(ValueError, match=r"1\.jpg and 1\.png differ only in their suffix"):
        find_pairs(tmp_path)


def test_pair_folders(tmp_path: Path) -> None:
    touch(tmp_path, "mine/x.png", "theirs/x.webp")
    found = pair_folders(tmp_path / "mine", tmp_path / "theirs")
    assert (found.layout, found.split, found.root) == ("folders", "all", tmp_path)
    assert found.pairs == (Pair("x", tmp_path / "mine/x.png", (tmp_path / "theirs/x.webp",)),)
    with pytest.raises(FileNotFoundError, match="gone: no such folder"):
        pair_folders(tmp_path / "mine", tmp_path / "gone")


def test_list_hash_is_of_the_sorted_names_and_not_of_the_place(tmp_path: Path) -> None:
    for place in ("one", "two"):
        touch(tmp_path / place, "blur/b.png", "blur/a.png", "sharp/a.png", "sharp/b.png")
    one, two = find_pairs(tmp_path / "one"), find_pairs(tmp_path / "two")
    assert one.list_sha256 == two.list_sha256 == hashlib.sha256(b"a\t1\nb\t1\n").hexdigest()
    touch(tmp_path / "two", "blur/c.png", "sharp/c.png")
    assert find_pairs(tmp_path / "two").list_sha256 != one.list_sha256


def test_describe_is_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "test/input/a.png", "test/target/a.png")
    found = find_pairs(tmp_path)
    assert found.describe() == (
        f"flat:input/target, split test: 1 pair in {tmp_path} (list {found.list_sha256[:12]})"
    )


def test_list_hash_does_not_depend_on_the_order_but_on_the_references(tmp_path: Path) -> None:
    one, two = (Pair(name, tmp_path, (tmp_path,)) for name in "ab")
    found = PairSet("flat", tmp_path, "test", (one, two))
    assert PairSet("flat", tmp_path, "test", (two, one)).list_sha256 == found.list_sha256
    more = Pair("b", tmp_path, (tmp_path, tmp_path))
    assert PairSet("flat", tmp_path, "test", (one, more)).list_sha256 != found.list_sha256
