"""Camera shake by its defaults and limits, in numbers that a person can check."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from edgedeblur.models.data.blur import (
    GAMMA,
    Shake,
    add_noise_and_jpeg,
    average_frame_folder,
    average_frames,
    blur_with_kernel,
    jpeg_round_trip,
    kernel_from_trajectory,
    random_kernel,
    trajectory,
)

from .scripted import Scripted

DELTA = np.ones((1, 1))


def grey(value, height=4, width=5):
    return np.full((height, width, 3), value, np.uint8)


def draws(seed, steps):
    """What `trajectory` draws: angle, jitter (steps, 2), chances (steps), turns (steps)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * math.pi)
    return angle, rng.standard_normal((steps, 2)), rng.random(steps), rng.standard_normal(steps)


def test_hands_are_drawn_from_the_papers_ranges():
    rng = Scripted(0.5, 1.0, 0.25)
    assert Shake.draw(rng) == Shake(0.35, 0.7, 0.05, scale=0.001)
    assert rng.asked == [(0.0, 0.7), (0.0, 0.7), (0.0, 0.2)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Shake(0.1, 0.1, 0.1).scale = 1.0


def test_a_path_has_2000_positions_unless_asked_otherwise():
    assert trajectory(np.random.default_rng(0), 9.0).shape == (2000, 2)
    path = trajectory(np.random.default_rng(0), 9.0, 2000)
    kernel = random_kernel(np.random.default_rng(0), 9.0)
    assert np.array_equal(kernel, kernel_from_trajectory(path))
    assert np.hypot(*trajectory(np.random.default_rng(0), 9.0, 2)[1]) == pytest.approx(9.0)


def test_jerks_come_as_often_as_said_and_turn_by_their_angle():
    seed, steps = 4, 40
    path = trajectory(
        np.random.default_rng(seed), 39.0, steps, Shake(0.0, 0.0, impulse=0.8, scale=0.5)
    )
    heading, _, chances, turns = draws(seed, steps)
    x = y = 0.0
    jerked = 0
    for t in range(steps - 1):
        dx, dy = math.cos(heading), math.sin(heading)
        if chances[t] < 0.4:  # impulse times scale
            turn = heading + math.pi + turns[t] - 0.5
            dx, dy = dx + 2 * math.cos(turn), dy + 2 * math.sin(turn)
            jerked += 1
        heading = math.atan2(dy, dx)
        x, y = x + math.cos(heading), y + math.sin(heading)
        assert path[t + 1] == pytest.approx((x, y), abs=1e-9)
    assert 8 < jerked < 24


def test_a_hand_that_stands_still_for_a_step_is_no_error():
    class Opposing(Scripted):
        """Jitter that takes the first direction, to the right, away."""

        def standard_normal(self, shape):
            return np.array([[-1.0, 0.0]] * shape[0]) if shape == (3, 2) else np.zeros(shape)

        def random(self, count):
            return np.ones(count)

    shake = Shake(inertia=0.0, gaussian=1.0, impulse=0.0, scale=1.0)
    path = trajectory(Opposing(0.0), 2.0, 3, shake)
    assert path.tolist() == [[0.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]


def test_sizes_of_kernels():
    path = [(x, 0) for x in range(9)]  # 4 pixels on either side
    assert kernel_from_trajectory(path).shape == (9, 9)
    assert kernel_from_trajectory(path, size=9).shape == (9, 9)
    for size in (1, 5, 7, 8, 10, -9):
        with pytest.raises(ValueError, match="needs an odd size of 9 up"):
            kernel_from_trajectory(path, size=size)


@pytest.mark.parametrize("shape", [(0, 2), (0, 3), (4, 1), (4, 3), (2, 2, 2), (2, 2, 3), (2,)])
def test_points_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        kernel_from_trajectory(np.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 2), (9,), (1, 1, 1), (3, 3, 3)])
def test_kernels_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected a square with an odd side"):
        blur_with_kernel(grey(9), np.full(shape, 1 / math.prod(shape)))


def test_kernels_sum_to_one_within_a_ten_thousandth():
    for close in (1.00009, 0.99991):
        blur_with_kernel(grey(9), DELTA * close)
    for far in (1.00011, 0.99989, 0.0, -1.0):
        with pytest.raises(ValueError, match="kernel sums to"):
            blur_with_kernel(grey(9), DELTA * far)


def test_kernels_reach_no_further_than_the_mirrored_border():
    kernel = np.zeros((7, 7))
    kernel[3, 3] = 1.0
    for shape in ((4, 9), (9, 4)):
        assert np.array_equal(blur_with_kernel(grey(9, *shape), kernel), grey(9, *shape))
    for shape in ((3, 9), (9, 3), (2, 2)):
        with pytest.raises(ValueError, match="kernel of side 7 is too large"):
            blur_with_kernel(grey(9, *shape), kernel)
    large = np.zeros((301, 301))
    large[150, 150] = 1.0
    assert np.array_equal(blur_with_kernel(grey(9, 160, 151), large), grey(9, 160, 151))


BAD_SHAPES = [(4, 5), (4, 5, 2), (4, 5, 4), (1, 5, 3, 3), (0, 5, 3), (4, 0, 3)]


@pytest.mark.parametrize("shape", BAD_SHAPES)
def test_pictures_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="picture has shape"):
        blur_with_kernel(np.zeros(shape, np.uint8), DELTA)
    with pytest.raises(ValueError, match="picture has shape"):
        add_noise_and_jpeg(np.random.default_rng(0), np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", [bool, np.int8, np.int16, np.uint16])
def test_pictures_of_other_types_are_refused(kind):
    picture = np.zeros((4, 5, 3), kind)
    with pytest.raises(ValueError, match="expected uint8 or floating point"):
        blur_with_kernel(picture, DELTA)
    with pytest.raises(ValueError, match="expected uint8"):
        add_noise_and_jpeg(np.random.default_rng(0), picture)
    with pytest.raises(ValueError, match="a frame is"):
        average_frames([grey(0), picture, grey(0)])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_pictures_reach_from_0_to_1(kind):
    for low, high in ((0.0, 1.0), (0.25, 0.5), (0.0, 0.0), (1.0, 1.0)):
        picture = np.full((4, 5, 3), low, kind)
        picture[0, 0, 0] = high
        done = blur_with_kernel(picture, DELTA)
        assert done.dtype == kind
        assert done == pytest.approx(picture, abs=1e-3)
    for bad in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"floating-point values are in \[0, 1\]"):
            blur_with_kernel(np.full((4, 5, 3), bad, kind), DELTA)


def test_light_below_black_and_above_white_is_clipped():
    picture = grey(255, 5, 6)
    picture[:, :3] = 0
    sharpening = np.array([[0.0, 0, 0], [-0.5, 2, -0.5], [0, 0, 0]])
    assert np.array_equal(blur_with_kernel(picture, sharpening), picture)


def test_gamma_is_above_0():
    assert GAMMA == 2.2
    assert np.array_equal(blur_with_kernel(grey(77), DELTA, gamma=0.5), grey(77))
    for gamma in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="it must be above 0"):
            blur_with_kernel(grey(77), DELTA, gamma=gamma)


def test_noise_is_added_to_the_picture():
    picture = np.random.default_rng(1).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    noise = np.random.default_rng(7).standard_normal(picture.shape)
    for deviation, more in ((1.0, {}), (2.5, {"noise_std": 2.5})):
        done = add_noise_and_jpeg(np.random.default_rng(7), picture, **more)
        expected = np.rint(np.clip(picture + deviation * noise, 0, 255))
        assert done.tolist() == expected.tolist()


def test_qualities_reach_from_1_to_100():
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for quality in (1, 50, 100):
        done = add_noise_and_jpeg(np.random.default_rng(0), picture, 0.0, quality)
        assert np.array_equal(done, jpeg_round_trip(picture, quality))
    for quality in (0, 101, -1, 500):
        with pytest.raises(ValueError, match="it must be 1 to 100"):
            add_noise_and_jpeg(np.random.default_rng(0), picture, 0.0, quality)


def frames(folder, count):
    import cv2

    for index in range(count):
        assert cv2.imwrite(str(folder / f"{index:03}.png"), grey(index))
    return folder


def test_eleven_frames_make_a_pair_unless_asked_otherwise(tmp_path):
    folder = frames(tmp_path, 23)
    assert [name for name, _, _ in average_frame_folder(folder)] == ["005", "016"]
    every = average_frame_folder(folder, 3, 1)
    assert [name for name, _, _ in every] == [f"{index:03}" for index in range(1, 22)]
    exact = average_frame_folder(folder, 23, 9)
    assert [name for name, _, _ in exact] == ["011"]
    with pytest.raises(ValueError, match="23 frames, fewer than the window of 25"):
        next(average_frame_folder(folder, 25))
    for stride in (0, -1):
        with pytest.raises(ValueError, match="it must be at least 1 frame"):
            next(average_frame_folder(folder, 3, stride))
