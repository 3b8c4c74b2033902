from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.quantize.calibration import calibration_set, to_network_input
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", (100, 140)), ("b", (64, 64)), ("c", (40, 50))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    return tmp_path


def test_small_pictures_are_used_once_and_large_ones_as_often_as_asked(folder):
    found = calibration_set(folder, (64, 64), count=10)
    assert len(found.crops) == 10
    assert all(crop.shape == (64, 64, 3) and crop.dtype == np.uint8 for crop in found.crops)
    files = [name.partition("@")[0] for name in found.names]
    assert (files.count("a.png"), files.count("b.png"), files.count("c.png")) == (8, 1, 1)


def test_there_are_fewer_where_no_picture_is_larger(folder):
    assert len(calibration_set(folder, (128, 160), count=10).crops) == 3


def test_the_same_seed_gives_the_same_list(folder):
    first, second = (calibration_set(folder, (64, 64), count=6) for _ in range(2))
    assert first.names == second.names
    assert first.list_sha256 == second.list_sha256
    other = calibration_set(folder, (64, 64), count=6, seed=1)
    assert other.list_sha256 != first.list_sha256


def test_the_hash_covers_what_the_pictures_hold(folder):
    before = calibration_set(folder, (64, 64), count=3).list_sha256
    Image.new("RGB", (140, 100)).save(folder / "a.png")
    assert calibration_set(folder, (64, 64), count=3).list_sha256 != before


def test_halves_are_disjoint_and_whole(folder):
    found = calibration_set(folder, (64, 64), count=7)
    first, second = found.halves()
    assert sorted((*first.names, *second.names)) == sorted(found.names)
    assert abs(len(first.crops) - len(second.crops)) == 1


def test_pairs_give_their_blurry_side(tmp_path):
    for side, value in (("blurry", 10), ("sharp", 200)):
        (tmp_path / side).mkdir()
        Image.new("RGB", (64, 64), (value, value, value)).save(tmp_path / side / "x.png")
    found = calibration_set(tmp_path, (64, 64), count=1)
    assert np.all(found.crops[0] == 10)


def test_samples_are_the_default():
    found = calibration_set(None, (64, 96), count=4)
    assert found.origin == "the packaged samples"


def test_no_pictures_and_no_folder_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no pictures to calibrate with"):
        calibration_set(tmp_path, (64, 64))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        calibration_set(tmp_path / "no", (64, 64))
    with pytest.raises(ValueError, match="at least one picture, not 0"):
        calibration_set(None, (64, 64), count=0)


def test_network_values():
    picture = np.array([[[0, 127, 255]]], dtype=np.uint8)
    assert to_network_input(picture).ravel() == pytest.approx([-1.0, 127 / 127.5 - 1, 1.0])
