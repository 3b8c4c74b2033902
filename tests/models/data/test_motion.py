"""Blur made on the fly: its length, its middle, its light, and what stays untouched."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.models.data.motion import Motion, _moments, _path, blurred_crop

PLAIN = Motion(
    still_share=0.0,
    shake_share=0.0,
    roll_max_deg=0.0,
    zoom_max=0.0,
    moving_share=0.0,
    linear_share=0.0,
    resize_share=0.0,
    noise_share=0.0,
    jpeg_share=0.0,
)


def changed(**settings):
    return Motion(**{**PLAIN.__dict__, **settings})


def textured(seed=0, height=96, width=128):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_sharp_side_is_a_crop_of_the_picture():
    picture = textured()
    _, sharp = blurred_crop(np.random.default_rng(4), picture, (32, 48), PLAIN)
    rows = [
        (top, left)
        for top in range(96 - 32 + 1)
        for left in range(128 - 48 + 1)
        if np.array_equal(picture[top : top + 32, left : left + 48], sharp)
    ]
    assert len(rows) == 1


def test_one_seed_gives_one_pair():
    first = blurred_crop(np.random.default_rng(7), textured(), (32, 32), Motion())
    second = blurred_crop(np.random.default_rng(7), textured(), (32, 32), Motion())
    other = blurred_crop(np.random.default_rng(8), textured(), (32, 32), Motion())
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_without_motion_nothing_changes():
    blurry, sharp = blurred_crop(
        np.random.default_rng(0), textured(), (64, 64), changed(still_share=1.0)
    )
    assert np.array_equal(blurry, sharp)


@pytest.mark.parametrize("seed", range(8))
def test_a_point_becomes_a_path_of_the_drawn_length(seed):
    """Where light lands: the blurred dot's extent is the path's, and it passes the middle."""
    picture = np.zeros((129, 129, 3), dtype=np.uint8)
    picture[60:69, 60:69] = 255
    motion = changed(length_min_px=20, length_max_px=20)
    blurry, sharp = blurred_crop(np.random.default_rng(seed), picture, (129, 129), motion)
    assert np.array_equal(sharp, picture)
    lit_y, lit_x = np.nonzero(blurry[..., 0] > 0)
    extent = np.hypot(np.ptp(lit_y) + 1 - 9, np.ptp(lit_x) + 1 - 9)
    assert 8 <= extent <= 20 + 3  # a bent path is shorter than its length, never longer
    assert blurry[60:69, 60:69].mean() > 20


@pytest.mark.parametrize("seed", range(6))
def test_paths_have_the_asked_length_and_stand_still_in_the_middle(seed):
    for shake in (0.0, 1.0):
        moments = 2 * 30 + 1
        path = _path(np.random.default_rng(seed), 24.0, moments, changed(shake_share=shake))
        length = np.hypot(*np.diff(path, axis=0).T).sum()
        assert tuple(path[moments // 2]) == (0.0, 0.0)
        assert length == pytest.approx(24.0, rel=0.06)  # chords of a bent path are shorter


def test_moments_are_odd_and_at_most_a_pixel_apart_while_affordable():
    assert [_moments(length) for length in (1, 3, 10, 20)] == [3, 5, 13, 23]
    assert _moments(200) == 25


def test_light_is_kept_in_linear_light():
    """Half white, half black under a long horizontal blur: grey is 0.5 in light, 186 in values."""
    picture = np.zeros((64, 256, 3), dtype=np.uint8)
    picture[:, ::2] = 255
    settings = {"length_min_px": 40, "length_max_px": 40}
    values = blurred_crop(np.random.default_rng(1), picture, (64, 128), changed(**settings))[0]
    light = blurred_crop(
        np.random.default_rng(1), picture, (64, 128), changed(**settings, linear_share=1.0)
    )[0]
    assert values.mean() == pytest.approx(127.5, abs=6)
    assert light.mean() == pytest.approx(255 * 0.5 ** (1 / 2.2), abs=6)


def test_a_uniform_picture_stays_uniform_under_any_motion():
    picture = np.full((80, 80, 3), 131, dtype=np.uint8)
    motion = Motion(noise_share=0.0, jpeg_share=0.0)
    for seed in range(12):
        blurry, _ = blurred_crop(np.random.default_rng(seed), picture, (64, 64), motion)
        assert np.abs(blurry.astype(int) - 131).max() <= 1


def test_crops_larger_than_the_picture_are_mirrored():
    blurry, sharp = blurred_crop(np.random.default_rng(2), textured(0, 20, 24), (64, 64), Motion())
    assert blurry.shape == sharp.shape == (64, 64, 3)


def test_the_blur_differs_from_place_to_place():
    """Rolling about the centre: corners move, the middle does not."""
    picture = textured(3, 200, 200)
    motion = changed(length_min_px=30, length_max_px=30, roll_max_deg=6.0)
    spread = []
    for seed in range(10):
        blurry, sharp = blurred_crop(np.random.default_rng(seed), picture, (200, 200), motion)
        error = np.abs(blurry.astype(float) - sharp).mean(axis=2)
        blocks = error.reshape(4, 50, 4, 50).mean(axis=(1, 3))
        spread.append(blocks.max() / blocks.min())
    assert max(spread) > 1.02


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_share": 1.5}, r"noise_share is 1\.5; shares are in \[0, 1\]"),
        ({"length_min_px": 0}, "not a range"),
        ({"resize_min": 2.0, "resize_max": 1.0}, "not a range"),
        ({"jpeg_min_quality": 0}, "1 to 100"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Motion(**settings)
