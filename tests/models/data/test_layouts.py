"""Every other layout built with tiny files, and every way it can be wrong."""

import hashlib
from pathlib import Path

import pytest
from edgedeblur.models.data import Pair, PairSet, find_pairs, pair_folders

from tests.models.data.layout_files import relative, touch


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


def _realblur(root: Path) -> Path:
    lines: list[str] = []
    for scene in ("scene230", "scene001"):
        sharp = f"RealBlur-J_ECC_IMCORR_centroid_itensity_ref/{scene}/gt/gt_1.png"
        blurry = f"RealBlur-J_ECC_IMCORR_centroid_itensity_ref/{scene}/blur/blur_1.png"
        touch(root, sharp, blurry)
        lines.append(f"{sharp} {blurry} extra")
    path = root / "RealBlur_J_test_list.txt"
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def test_realblur(tmp_path: Path) -> None:
    list_file = _realblur(tmp_path)
    found = find_pairs(tmp_path)
    base = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene"
    assert (found.layout, found.split) == ("realblur", "test")
    assert relative(found) == [
        (f"{base}{n}/blur/blur_1", f"{base}{n}/blur/blur_1.png", [f"{base}{n}/gt/gt_1.png"])
        for n in ("001", "230")
    ]
    assert find_pairs(list_file) == found
    with pytest.raises(ValueError, match="this lists 'test' but split 'train' was asked for"):
        find_pairs(list_file, "train")


def test_realblur_wrong(tmp_path: Path) -> None:
    list_file = _realblur(tmp_path)
    good = list_file.read_text(encoding="utf-8")
    (tmp_path / "RealBlur_R_test_list.txt").write_text(good, encoding="utf-8")
    with pytest.raises(ValueError, match=r"several lists \(RealBlur_J_test_list\.txt, RealBlur_R"):
        find_pairs(tmp_path)
    list_file.write_text(good + good, encoding="utf-8")
    with pytest.raises(ValueError, match=r"list\.txt:4: .* is listed twice"):
        find_pairs(list_file)
    list_file.write_text("only_one.png\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"list\.txt:1: expected 'sharp_path blur_path'"):
        find_pairs(list_file)
    list_file.write_text("gone/gt.png gone/blur.png\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"listed in RealBlur_J_test_list\.txt:1 but not"):
        find_pairs(list_file)
    list_file.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no pairs in this list"):
        find_pairs(list_file)
    touch(tmp_path, "a.png")
    with pytest.raises(ValueError, match=r"a\.png: neither a folder nor a \.txt list"):
        find_pairs(tmp_path / "a.png")


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


def test_unknown_roots(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such dataset"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no known layout") as caught:
        find_pairs(tmp_path)
    for word in ("GOPRO_Large", "{input,target}", "{lq,gt}", "DVD", "Kohler", "RealBlur"):
        assert word in str(caught.value)
    with pytest.raises(ValueError, match="subset 'sharp' is unknown; choose one of blur, blur_gam"):
        find_pairs(tmp_path, subset="sharp")
    touch(tmp_path, "input/1.png", "target/1.png")
    with pytest.raises(ValueError, match="'blur_gamma' exists in GOPRO_Large only"):
        find_pairs(tmp_path, subset="blur_gamma")


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
