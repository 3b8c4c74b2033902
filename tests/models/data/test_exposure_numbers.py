"""Crops, exposures and what a camera does to them, in numbers that a person can check."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
from edgedeblur.models.data.blur import jpeg_round_trip
from edgedeblur.models.data.motion import (
    Motion,
    _cut,
    _exposure,
    _length,
    _resized_part,
    _resized_shape,
    _scene,
    blurred_crop,
)
from edgedeblur.models.data.motion import _with_noise_and_jpeg as degraded
from hypothesis import given, settings
from hypothesis import strategies as st

from .scripted import Scripted

STILL = Motion(
    still_share=1.0, resize_share=0.0, noise_share=0.0, jpeg_share=0.0, shake_share=0.0,
    roll_max_deg=0.0, zoom_max=0.0, moving_share=0.0, linear_share=0.0,
)  # fmt: skip
MOVING = dataclasses.replace(STILL, still_share=0.0)
RIGHT = (0.9, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5)  # a straight even path to the right, no roll


def texture(height=40, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_defaults_are_the_documented_ones():
    assert dataclasses.astuple(Motion()) == (
        3.0, 40.0, 0.05, 0.3, 1.5, 0.015, 0.25, 0.5, 0.5, 0.7, 1.4, 0.5, 2.5, 0.3, 70,
    )  # fmt: skip


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        STILL.noise_max = 1.0


@pytest.mark.parametrize("share", ["still", "shake", "moving", "linear", "resize", "noise", "jpeg"])
def test_shares_reach_from_0_to_1(share):
    for value in (0.0, 1.0, 0.5):
        assert getattr(Motion(**{f"{share}_share": value}), f"{share}_share") == value
    for value in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=f"{share}_share is"):
            Motion(**{f"{share}_share": value})


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"length_min_px": 5.0, "length_max_px": 5.0}, {"length_min_px": 5.1, "length_max_px": 5}),
        ({"length_min_px": 0.01}, {"length_min_px": 0.0}),
        ({"length_min_px": 0.5}, {"length_min_px": -0.5}),
        ({"resize_min": 1.0, "resize_max": 1.0}, {"resize_min": 1.1, "resize_max": 1.0}),
        ({"resize_min": 0.01}, {"resize_min": 0.0}),
        ({"resize_min": 0.5}, {"resize_min": -0.5}),
        ({"jpeg_min_quality": 1}, {"jpeg_min_quality": 0}),
        ({"jpeg_min_quality": 100}, {"jpeg_min_quality": 101}),
    ],
)
def test_ranges_end_where_they_say(good, bad):
    Motion(**good)
    with pytest.raises(ValueError, match=r"not a range|it is 1 to 100"):
        Motion(**bad)


def test_a_crop_lies_where_it_was_drawn():
    picture = texture()
    rng = Scripted(0.5, 0.25, 0.0, 0.9, 0.9)  # corner, still, then noise and JPEG
    blurry, sharp = blurred_crop(rng, picture, (20, 16), STILL)
    assert rng.asked == [(0, 21), (0, 45), (), (), ()]  # 40 - 20 + 1 and 60 - 16 + 1 corners
    assert np.array_equal(sharp, picture[10:30, 11:27])
    assert np.array_equal(blurry, sharp)
    assert blurry is not sharp


def test_a_crop_of_the_whole_picture_and_of_more_has_one_corner():
    for size in ((40, 60), (41, 64)):
        rng = Scripted(0.99, 0.99, 0.0, 0.9, 0.9)
        _, sharp = blurred_crop(rng, texture(), size, STILL)
        assert rng.asked[:2] == [(0, 1), (0, 1)]
        pad = ((0, size[0] - 40), (0, size[1] - 60), (0, 0))
        assert np.array_equal(sharp, np.pad(texture(), pad, mode="reflect"))


def test_the_still_share_is_a_limit():
    motion = dataclasses.replace(MOVING, still_share=0.3, length_max_px=3.0)
    for share in (0.3, 0.9):  # 0.3 is not below 0.3
        rng = Scripted(0.0, 0.0, share, 0.9, 0.5, 0.9, *RIGHT, 0.9, 0.9)
        blurry, sharp = blurred_crop(rng, texture(), (16, 16), motion)
        assert not np.array_equal(blurry, sharp)
    still, sharp = blurred_crop(Scripted(0.0, 0.0, 0.29, 0.9, 0.9), texture(), (16, 16), motion)
    assert np.array_equal(still, sharp)


def test_pictures_are_resized_only_when_it_is_drawn():
    motion = dataclasses.replace(STILL, resize_share=0.5, resize_min=0.5, resize_max=2.0)
    for share in (0.5, 0.9):  # 0.5 is not below 0.5
        rng = Scripted(share, 0.0, 0.0, 0.0, 0.9, 0.9)
        blurred_crop(rng, texture(), (8, 8), motion)
        assert rng.asked[:3] == [(), (0, 33), (0, 53)]
    rng = Scripted(0.49, 0.0, 0.0, 0.0, 0.0, 0.9, 0.9)  # halved
    blurred_crop(rng, texture(), (8, 8), motion)
    assert rng.asked[:4] == [(), (math.log(0.5), math.log(2.0)), (0, 13), (0, 23)]


@pytest.mark.parametrize(
    ("factor", "size", "how"),
    [
        (0.5, (20, 30), cv2.INTER_AREA),
        (math.sqrt(0.5), (28, 42), cv2.INTER_AREA),
        (1.5, (60, 90), cv2.INTER_CUBIC),
        (2.0, (80, 120), cv2.INTER_CUBIC),
    ],
)
def test_a_picture_that_the_motion_reaches_whole_is_resized_by_opencv(factor, size, how):
    motion = dataclasses.replace(STILL, length_max_px=120.0)
    part, corner = _resized_part(texture(), factor, (3, 5), (8, 8), motion)
    assert _resized_shape(texture(), factor) == size
    assert corner == (3, 5)
    assert np.array_equal(part, cv2.resize(texture(), (size[1], size[0]), interpolation=how))


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0])
def test_the_resized_part_shows_the_crop_and_its_surroundings(factor):
    # On whole pixels both ways the part equals that of the whole resized picture.
    motion, picture = dataclasses.replace(STILL, length_max_px=3.0), texture(240, 240)
    whole = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
                       if factor < 1 else cv2.INTER_CUBIC)  # fmt: skip
    size = (12, 15)
    part, (top, left) = _resized_part(picture, factor, (48, 60), size, motion)
    assert part.shape[0] < whole.shape[0] / 2
    margin = 5
    seen = part[top - margin : top + 12 + margin, left - margin : left + 15 + margin]
    expected = whole[48 - margin : 60 + margin, 60 - margin : 75 + margin]
    assert seen.shape == expected.shape  # what `_scene` cuts
    assert np.array_equal(seen, expected)


@settings(max_examples=200, deadline=None)
@given(st.floats(0.1, 3.0), st.integers(17, 300), st.integers(0, 200), st.integers(1, 200))
def test_a_resized_part_holds_the_whole_crop(factor, side, at, crop):
    motion = dataclasses.replace(STILL, length_max_px=9.0)
    picture = np.zeros((side, side, 3), np.uint8)
    whole = _resized_shape(picture, factor)[0]
    corner = min(at, max(whole - crop, 0))
    part, (top, _) = _resized_part(picture, factor, (corner, corner), (crop, crop), motion)
    assert top >= 0
    assert part.shape[0] - top >= min(crop, whole)


def test_a_resized_picture_keeps_16_pixels_a_side():
    assert _resized_shape(texture(), 0.1) == (16, 16)
    assert _resized_shape(texture(170, 60), 0.1) == (17, 16)
    part, _ = _resized_part(texture(170, 60), 0.1, (0, 0), (8, 8), STILL)
    assert part.shape == (17, 16, 3)


@pytest.mark.parametrize(
    ("corner", "size", "pad"),
    [
        ((3, 5), (8, 9), (0, 0)),
        ((32, 52), (8, 8), (0, 0)),
        ((35, 5), (8, 9), (3, 0)),
        ((3, 56), (8, 6), (0, 2)),
        ((35, 56), (8, 6), (3, 2)),
    ],
)
def test_what_lies_beyond_the_picture_is_mirrored(corner, size, pad):
    cut = _cut(texture(), *corner, size)
    inside = texture()[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    expected = np.pad(inside, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="reflect")
    assert np.array_equal(cut, expected)
    assert cut.flags.c_contiguous


def test_lengths_are_even_in_their_logarithm():
    motion = dataclasses.replace(STILL, length_min_px=4.0, length_max_px=64.0)
    lengths = [_length(Scripted(share), motion) for share in (0.0, 0.25, 0.5, 1.0)]
    assert lengths == pytest.approx([4.0, 8.0, 16.0, 64.0])


@pytest.mark.parametrize(
    ("corner", "length", "rows", "columns", "offset"),
    [
        ((10, 12), 2.5, slice(5, 23), slice(7, 27), (5, 5)),  # margins of 3 + 2
        ((2, 12), 3.0, slice(0, 15), slice(7, 27), (5, 2)),
        ((10, 1), 3.0, slice(5, 23), slice(0, 16), (1, 5)),
        ((32, 50), 3.0, slice(27, 40), slice(45, 60), (5, 5)),
    ],
)
@pytest.mark.parametrize("linear", [True, False])
def test_the_scene_is_the_crop_with_a_margin(corner, length, rows, columns, offset, linear):
    scene, found = _scene(texture(), corner, (8, 10), length, linear=linear)
    expected = (texture()[rows, columns] / 255.0) ** (2.2 if linear else 1.0)
    assert scene.dtype == np.float32
    assert scene == pytest.approx(expected, abs=1e-6)
    assert found == offset


def exposed(shares, motion, size=(8, 10), corner=(12, 20)):
    rng = Scripted(*shares)
    return _exposure(rng, texture(), corner, size, motion), rng


@pytest.mark.parametrize("linear", [True, False])
def test_an_exposure_is_the_mean_of_its_moments(linear):
    # 5 pixels to the right in 7 moments: the picture at -15/7, -10/7, -5/7, 0, 5/7, 10/7, 15/7.
    motion = dataclasses.replace(
        MOVING, length_min_px=5.0, length_max_px=5.0, linear_share=0.5, moving_share=0.5
    )
    blurry, rng = exposed((0.4 if linear else 0.5, 0.0, 0.5, *RIGHT), motion)
    logs = (math.log(5.0), math.log(5.0))
    assert rng.asked[:3] == [(), logs, ()]
    assert rng.shares == []
    light = (texture() / 255.0) ** (2.2 if linear else 1.0)
    total = np.zeros((8, 10, 3))
    for moment in range(-3, 4):
        whole, part = divmod(moment * 5 / 7, 1.0)
        left = 20 + int(whole)
        total += (1 - part) * light[12:20, left : left + 10]
        total += part * light[12:20, left + 1 : left + 11]
    expected = 255 * (total / 7) ** (1 / 2.2 if linear else 1.0)
    # OpenCV places pixels in steps of 1/32.
    assert np.abs(blurry - expected).max() <= (9.0 if linear else 5.0)
    assert np.abs(blurry - expected).mean() <= 1.2


@pytest.mark.parametrize("linear", [True, False])
def test_black_stays_black_and_white_white(linear):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[..., 1] = 255
    motion = dataclasses.replace(MOVING, linear_share=0.5)
    rng = Scripted(0.4 if linear else 0.5, 0.5, 0.5, *RIGHT)
    blurry = _exposure(rng, picture, (12, 20), (8, 10), motion)
    assert np.array_equal(blurry, picture[:8, :10])


def test_a_region_moves_by_itself():
    # The camera rests nearly; a region goes 4 pixels down. Without the region all stands still.
    motion = dataclasses.replace(MOVING, length_min_px=0.01, length_max_px=4.0, moving_share=0.5)
    down = (0.9, 0.25, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5)
    turns = [0.125, 0.375, 0.625, 0.875]
    mask = (0.0, turns, [0.5, 0.5, 0.5, 0.5], 0.5, 0.5)
    size, corner = (30, 30), (5, 15)
    blurry, rng = exposed((0.9, 0.0, 0.49, 1.0, *RIGHT, *mask, *down), motion, size, corner)
    assert rng.shares == []
    sharp = texture()[5:35, 15:45].astype(int)
    # The region: a square with corners 11.25 pixels from the middle, so 8 pixels either side.
    column = texture().astype(float)[:, 30]
    moved = np.zeros((30, 3))
    for moment in range(-3, 4):
        whole, part = divmod(moment * 4 / 7, 1.0)
        top = 5 + int(whole)
        moved += ((1 - part) * column[top : top + 30] + part * column[top + 1 : top + 31]) / 7
    assert np.abs(blurry[12:19, 15] - moved[12:19]).max() <= 5.0
    border = np.abs(blurry - sharp)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert border.max() <= 4


def test_noise_is_drawn_up_to_its_largest_deviation():
    class Grain(Scripted):
        def standard_normal(self, shape, dtype):
            assert dtype == np.float32
            return np.full(shape, -2.0, dtype)

    motion = dataclasses.replace(STILL, noise_share=0.5, noise_max=3.0, jpeg_share=0.5)
    grey = np.full((4, 4, 3), 100, np.uint8)
    rng = Grain(0.49, 0.5, 0.5)
    assert np.unique(degraded(rng, grey, motion)).tolist() == [97]  # 1.5 deviations of 2 less
    assert rng.asked == [(), (0, 3.0), ()]
    assert np.unique(degraded(Grain(0.0, 1.0, 0.9), grey - 97, motion)).tolist() == [0]  # clipped
    assert np.unique(degraded(Grain(0.0, 1.0, 0.9), grey + 155, motion)).tolist() == [249]
    assert degraded(Grain(0.5, 0.5), grey, motion) is grey  # neither was drawn
    picture = texture(16, 16)
    rng = Grain(0.5, 0.49, 0.5)
    coded = degraded(rng, picture, dataclasses.replace(motion, jpeg_min_quality=60))
    assert rng.asked == [(), (), (60, 100)]
    assert np.array_equal(coded, jpeg_round_trip(picture, 80))
    bright = np.full((4, 4, 3), 254, np.uint8)
    rng = Grain(0.0, 1.0, 0.9)
    rng.standard_normal = lambda shape, dtype: np.ones(shape, dtype)
    assert np.unique(degraded(rng, bright, motion)).tolist() == [255]
