"""RealBlur's list files."""

from pathlib import Path

import pytest
from edgedeblur.models.data import find_pairs

from .support import relative, touch


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
