"""Validation on tiles, and the spread of gains."""

import cv2
import numpy as np
import pytest
from edgedeblur.models.training.validate import Score, Scores, pair_examples


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        picture = rng.integers(0, 255, (100, 170, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / side / "a.png"), picture)
    return tmp_path


def test_tiles_are_the_picture_cut_up(pair):
    (whole,) = pair_examples(pair, 0, 0)
    assert whole.sharp.shape == (96, 160, 3)
    tiles = pair_examples(pair, 0, 0, tile=64)
    assert [tile.name for tile in tiles] == ["a@0,0", "a@0,64"]
    assert np.array_equal(np.hstack([t.blurry for t in tiles]), whole.blurry[:64, :128])
    assert np.array_equal(np.hstack([t.sharp for t in tiles]), whole.sharp[:64, :128])


@pytest.mark.parametrize("side", [40, 128])
def test_tiles_that_do_not_fit_are_refused(pair, side):
    with pytest.raises(ValueError, match=f"tiles of {side} pixels do not fit 96x160"):
        pair_examples(pair, 0, 0, tile=side)


def test_pictures_are_cut_to_what_the_network_takes(pair):
    (whole,) = pair_examples(pair, 0, 0, backbone="deblurgan")
    assert whole.blurry.shape == whole.sharp.shape == (100, 168, 3)
    tiles = pair_examples(pair, 0, 0, tile=84, backbone="deblurgan")
    assert [tile.name for tile in tiles] == ["a@0,0", "a@0,84"]
    with pytest.raises(ValueError, match=r"a: \(100, 170\) is smaller than 160 pixels"):
        pair_examples(pair, 0, 0, backbone="inception")


def test_spread_and_share_of_gains():
    scores = Scores(tuple(Score("a", 20.0, 20.0 + gain, 0.5, 0.5) for gain in (1.0, -1.0, 3.0)))
    assert scores.gain_db == pytest.approx(1.0)
    assert scores.spread_db == pytest.approx(2.0)  # ((0 + 4 + 4) / 2) ** 0.5
    assert scores.improved == pytest.approx(2 / 3)
    assert Scores(scores.pictures[:1]).spread_db == 0
