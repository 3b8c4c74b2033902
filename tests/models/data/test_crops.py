"""Aligned crops: both sides show the same place, all pixels are covered, flips are fair."""

import numpy as np
import pytest
from edgedeblur.models.data import aligned_crops, random_crop_pair


def _pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A blurry picture that numbers its pixels, and a sharp one that is its negative."""
    numbers = np.arange(height * width, dtype=np.int32).reshape(height, width, 1)
    blurry = np.repeat(numbers, 3, axis=2)
    return blurry, -blurry


def test_grid_covers_every_pixel_and_moves_the_last_crops_inwards() -> None:
    blurry, sharp = _pair(7, 10)
    crops = list(aligned_crops(blurry, sharp, 4))
    # By hand: rows start at 0 and 3, columns at 0, 4 and 6.
    assert [int(crop[0, 0, 0]) for crop, _ in crops] == [0, 4, 6, 30, 34, 36]
    assert {int(number) for crop, _ in crops for number in crop.ravel()} == set(range(70))
    for crop, other in crops:
        assert crop.shape == (4, 4, 3)
        assert np.array_equal(crop, -other)


def test_grid_of_the_whole_picture_is_the_picture_and_a_copy() -> None:
    blurry, sharp = _pair(5, 6)
    [(crop, _)] = aligned_crops(blurry, sharp, (5, 6))
    assert np.array_equal(crop, blurry)
    crop[:] = -1
    assert blurry[0, 0, 0] == 0


def test_stride_overlaps() -> None:
    blurry, sharp = _pair(4, 8)
    firsts = [int(crop[0, 0, 0]) for crop, _ in aligned_crops(blurry, sharp, 4, stride=2)]
    assert firsts == [0, 2, 4]


@pytest.mark.parametrize("stride", [0, 5])
def test_stride_that_leaves_pixels_out_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride is {stride}; 1 to 4 covers"):
        aligned_crops(*_pair(8, 8), 4, stride=stride)


def test_random_crops_are_aligned_seeded_and_reach_all_places_and_flips() -> None:
    blurry, sharp = _pair(5, 6)
    rng, again = np.random.default_rng(7), np.random.default_rng(7)
    seen: set[tuple[int, int]] = set()
    for _ in range(400):
        crop, other = random_crop_pair(rng, blurry, sharp, (4, 4))
        assert np.array_equal(crop, -other)
        assert crop.flags.c_contiguous
        assert np.array_equal(crop, random_crop_pair(again, blurry, sharp, (4, 4))[0])
        # The step between neighbours tells the flip, the smallest number the place.
        flip = int(np.sign(crop[1, 0, 0] - crop[0, 0, 0])), int(crop[0, 1, 0] - crop[0, 0, 0])
        seen.add((int(crop.min()), flip[0] * 2 + flip[1]))
    places = {0, 1, 2, 6, 7, 8}
    assert seen == {(place, flip) for place in places for flip in (3, 1, -1, -3)}


def test_without_flips_crops_keep_their_direction() -> None:
    blurry, sharp = _pair(9, 9)
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop, _ = random_crop_pair(rng, blurry, sharp, 3, flips=False)
        assert crop[0, 1, 0] - crop[0, 0, 0] == 1
        assert crop[1, 0, 0] - crop[0, 0, 0] == 9


def test_wrong_pictures_are_refused() -> None:
    rng = np.random.default_rng(0)
    blurry, sharp = _pair(8, 9)
    with pytest.raises(ValueError, match="8x9 are too small for crops of 16x16"):
        random_crop_pair(rng, blurry, sharp, 16)
    with pytest.raises(ValueError, match="too small for crops of 8x10"):
        aligned_crops(blurry, sharp, (8, 10))
    with pytest.raises(ValueError, match=r"blurry is \(8, 9, 3\) and sharp is \(7, 9, 3\)"):
        aligned_crops(blurry, sharp[:-1], 4)
    with pytest.raises(ValueError, match=r"expected \(height, width, 3\)"):
        random_crop_pair(rng, blurry[..., 0], sharp[..., 0], 4)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        random_crop_pair(rng, blurry, sharp, 0)


def test_dtype_is_kept() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    crop, _ = random_crop_pair(np.random.default_rng(0), picture, picture, 2)
    assert crop.dtype == np.uint8
