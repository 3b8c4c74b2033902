"""Where the camera stands at each moment of an exposure, in numbers that a person can check."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from edgedeblur.models.data.blur import Shake, trajectory
from edgedeblur.models.data.motion import Motion, _mask, _moments, _path, _pose

from .scripted import Scripted

SIZE, OFFSET = (60, 80), (7.0, 5.0)  # height, width; x, y: half a diagonal of 50 pixels
STRAIGHT = (0.9, 0.0, 0.0, 0.5)  # not shaken, direction 0, no bend, even speed


def pose(seed, moments=9, length=40.0, **settings):
    motion = Motion(**{"shake_share": 0.0, "roll_max_deg": 6.0, "zoom_max": 0.1, **settings})
    return _pose(np.random.default_rng(seed), length, moments, SIZE, OFFSET, motion)


@pytest.mark.parametrize("moments", [3, 9, 25])
@pytest.mark.parametrize("seed", range(3))
def test_the_middle_moment_neither_rolls_nor_zooms_nor_moves(seed, moments):
    matrix = pose(seed, moments)(moments // 2)
    np.testing.assert_allclose(matrix, [[1, 0, 7], [0, 1, 5]], atol=1e-5)
    first = pose(seed, moments)(0)
    assert abs(math.atan2(first[1, 0], first[0, 0])) > 1e-4  # the others do roll


@pytest.mark.parametrize("seed", range(4))
def test_roll_and_zoom_run_evenly_through_the_middle(seed):
    at = pose(seed)
    angles = [math.atan2(at(moment)[1, 0], at(moment)[0, 0]) for moment in range(9)]
    scales = [math.hypot(at(moment)[0, 0], at(moment)[1, 0]) for moment in range(9)]
    np.testing.assert_allclose(np.diff(angles), angles[8] / 4, atol=1e-6)
    np.testing.assert_allclose(np.diff(scales), (scales[8] - 1) / 4, atol=1e-6)
    assert angles[0] == pytest.approx(-angles[8], abs=1e-6)


@pytest.mark.parametrize(
    ("length", "roll_deg", "zoom", "roll", "scale"),
    [
        (40.0, 6.0, 0.1, math.radians(6), 0.1),  # both below 0.5 * 40 / 50 = 0.4
        (10.0, 12.0, 0.3, 0.1, 0.1),  # 0.5 * 10 / 50 bounds both
    ],
)
def test_a_pose_by_hand(length, roll_deg, zoom, roll, scale):
    # The largest roll and 3/4 of the way to the largest zoom, about (20, 30) of the crop.
    rng = Scripted(*STRAIGHT, 1.0, 0.75, 0.25, 0.5)
    motion = Motion(shake_share=0.5, roll_max_deg=roll_deg, zoom_max=zoom)
    at = _pose(rng, length, 5, SIZE, OFFSET, motion)
    assert rng.asked[-4:] == [(-1, 1), (-1, 1), (0, 80), (0, 60)]
    for moment in range(5):
        time = (moment - 2) / 4
        angle, size = roll * time, 1 + scale / 2 * time
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        move = (moment - 2) * length / 5  # the path
        x = 20 - (cos * 20 - sin * 30) + move + 7
        y = 30 - (sin * 20 + cos * 30) + 5
        expected = [[cos, -sin, x], [sin, cos, y]]
        np.testing.assert_allclose(at(moment), expected, atol=1e-4)
    assert at(0).dtype == np.float32
    # The other way round: the least share rolls backwards.
    back = _pose(Scripted(*STRAIGHT, 0.0, 0.5, 0.5, 0.5), length, 5, SIZE, OFFSET, motion)
    assert back(4)[1, 0] == pytest.approx(-math.sin(roll / 2), abs=1e-6)


def test_a_crop_of_one_pixel_rolls_within_half_of_the_path():
    motion = Motion(roll_max_deg=90.0, zoom_max=9.0)
    at = _pose(Scripted(*STRAIGHT, 1.0, 0.5, 0.5, 0.5), 0.4, 3, (1, 1), (0.0, 0.0), motion)
    angle = math.atan2(at(2)[1, 0], at(2)[0, 0])
    assert angle == pytest.approx(0.5 * 0.4 / 1.0 / 2, abs=1e-6)  # half a diagonal of 1, not 0.7


def test_half_the_diagonal_bounds_the_roll():
    motion = Motion(roll_max_deg=90.0)
    at = _pose(Scripted(*STRAIGHT, 1.0, 0.5, 0.5, 0.5), 2.6, 3, (5, 12), (0.0, 0.0), motion)
    angle = math.atan2(at(2)[1, 0], at(2)[0, 0])
    assert angle == pytest.approx(0.5 * 2.6 / 6.5 / 2, abs=1e-6)


def test_a_single_moment_only_cuts():
    motion = Motion(shake_share=0.5)
    at = _pose(Scripted(*STRAIGHT, 1.0, 1.0, 0.5, 0.5), 9.0, 1, SIZE, OFFSET, motion)
    np.testing.assert_allclose(at(0), [[1, 0, 7], [0, 1, 5]], atol=1e-6)


def test_a_straight_path_by_hand():
    rng = Scripted(0.9, 0.25, 0.0, 0.5)  # a quarter turn: downwards
    path = _path(rng, 30.0, 5, Motion(shake_share=0.9))
    assert path == pytest.approx(np.array([[0, -12], [0, -6], [0, 0], [0, 6], [0, 12]]), abs=1e-9)
    assert rng.asked == [(), (0, 2 * math.pi), (0, 0.6), (-0.5, 0.5)]


def test_a_bent_path_of_uneven_speed_by_hand():
    # Bend 0.6 * 0.5 = 0.3, so angles 0.4 pi - 0.3 .. 0.4 pi + 0.3; speed 0.75 .. 1.25.
    path = _path(Scripted(0.9, 0.2, 0.5, 0.75), 10.0, 3, Motion(shake_share=0.9))
    angles = [0.4 * math.pi + turn for turn in (-0.3, 0.0, 0.3)]
    speeds = [0.75, 1.0, 1.25]
    steps = [
        (speed * math.cos(angle) * 10 / 3, speed * math.sin(angle) * 10 / 3)
        for angle, speed in zip(angles, speeds, strict=True)
    ]
    expected = [(-steps[1][0], -steps[1][1]), (0.0, 0.0), steps[2]]
    assert path == pytest.approx(np.array(expected), abs=1e-9)


def test_a_shaken_path_is_the_hands_at_even_times(monkeypatch):
    asked = []

    def walk(rng, length_px, steps, shake):
        asked.append((length_px, steps, shake))
        times = np.arange(steps)
        return np.stack([2.0 * times, -(1.0 * times)], axis=1)

    monkeypatch.setattr("edgedeblur.models.data.motion.trajectory", walk)
    rng = Scripted(0.3, 0.5, 1.0, 0.25)
    path = _path(rng, 24.0, 5, Motion(shake_share=0.31))
    assert rng.asked == [(), (0, 0.7), (0, 0.7), (0, 0.2)]
    assert asked == [(24.0, 200, Shake(0.35, 0.7, 0.05, scale=0.01))]
    quarter = 199 / 4  # moments 0 .. 4 lie at 0 .. 199
    expected = [[2 * (m - 2) * quarter, -(m - 2) * quarter] for m in range(5)]
    assert path == pytest.approx(np.array(expected))


def test_a_shaken_path_ends_where_the_hand_does():
    motion = Motion(shake_share=1.0)
    path = _path(np.random.default_rng(3), 24.0, 25, motion)
    rng = np.random.default_rng(3)
    rng.random()
    shake = Shake(rng.uniform(0, 0.7), rng.uniform(0, 0.7), rng.uniform(0, 0.2), scale=0.01)
    whole = trajectory(rng, 24.0, 200, shake)
    assert path[-1] - path[0] == pytest.approx(whole[-1] - whole[0])


def test_shares_are_limits_that_a_draw_must_stay_below():
    path = _path(Scripted(0.3, 0.0, 0.0, 0.5), 3.0, 3, Motion(shake_share=0.3))
    assert path == pytest.approx(np.array([[-1, 0], [0, 0], [1, 0]]), abs=1e-9)  # not shaken


@pytest.mark.parametrize(
    ("length", "moments"),
    [(0.5, 3), (1.0, 3), (1.1, 5), (3.0, 5), (3.1, 7), (5.0, 7), (22.9, 25), (23.1, 25), (99, 25)],
)
def test_moments_by_hand(length, moments):
    assert _moments(length) == moments


def test_a_region_is_one_soft_polygon_around_a_point_of_the_crop():
    angles = [0.125, 0.875, 0.375, 0.625]  # of a turn, and sorted before they are joined
    rng = Scripted(0.0, angles, [0.0, 1.0, 0.5, 0.25], 0.25, 0.5)
    mask = _mask(rng, (90, 120), (10.0, 20.0), (40, 60))
    assert rng.asked == [(4, 9), (0, 2 * math.pi, 4), (0.15, 0.6, 4), (0, 60), (0, 40)]
    # Around (10 + 15, 20 + 20): corners at 45, 135, 225 and 315 degrees, 6 to 24 pixels far.
    radii, half = [6.0, 24.0, 15.0, 10.5], math.sqrt(0.5)
    corners = [
        (round(25 + sx * half * r), round(40 + sy * half * r))
        for r, (sx, sy) in zip(radii, [(1, 1), (-1, 1), (-1, -1), (1, -1)], strict=True)
    ]
    hard = np.zeros((90, 120), np.float32)
    cv2.fillPoly(hard, [np.array(corners, np.int32)], 1.0)
    soft = cv2.GaussianBlur(hard, (0, 0), 1.0)
    np.testing.assert_allclose(mask, soft, atol=1e-6)
    assert mask.dtype == np.float32
    assert mask[40, 22] == pytest.approx(1.0, abs=1e-3)
    assert mask.max() <= 1.0 + 1e-6
    assert 0.0 < mask[hard == 0].max() < 0.6
