"""Blur synthesis against hand computations and direct numpy loops."""

import math

import numpy as np
import pytest
from edgedeblur.models.data import (
    Shake,
    add_noise_and_jpeg,
    blur_with_kernel,
    kernel_from_trajectory,
    random_kernel,
    trajectory,
)

STEADY = Shake(inertia=0.0, gaussian=0.0, impulse=0.0)


def _grey(value: int, height: int = 4, width: int = 5) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def _centroid(kernel: np.ndarray) -> tuple[float, float]:
    ys, xs = np.mgrid[: kernel.shape[0], : kernel.shape[1]] - kernel.shape[0] // 2
    return float((kernel * xs).sum()), float((kernel * ys).sum())


def _path_length(path: np.ndarray) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


@pytest.mark.parametrize("length_px", [0.0, 1.0, 6.5, 25.0])
def test_a_path_is_as_long_as_asked_in_equal_steps_from_the_origin(length_px: float) -> None:
    path = trajectory(np.random.default_rng(5), length_px, steps=300)
    assert path.shape == (300, 2)
    assert path[0].tolist() == [0, 0]
    steps = np.hypot(*np.diff(path, axis=0).T)
    assert steps == pytest.approx(length_px / 299, abs=1e-9)


def test_a_steady_hand_moves_straight_and_a_shaky_one_does_not() -> None:
    straight = trajectory(np.random.default_rng(1), 20, shake=STEADY)
    assert float(np.hypot(*straight[-1])) == pytest.approx(20)
    shaky = trajectory(np.random.default_rng(1), 20, shake=Shake(0.7, 0.7, 0.2))
    assert _path_length(shaky) == pytest.approx(20)
    assert float(np.hypot(*shaky[-1])) < 19


def test_inertia_pulls_the_path_back_to_its_start() -> None:
    def reach(inertia: float) -> float:
        ends = [
            trajectory(np.random.default_rng(seed), 40, shake=Shake(inertia, 0.5, 0.0))[-1]
            for seed in range(15)
        ]
        return float(np.mean([np.hypot(*end) for end in ends]))

    assert reach(0.7) < 0.7 * reach(0.0)


def test_impulses_turn_the_hand_backwards() -> None:
    # With a scale of 1 and an impulse of 1 every step jerks: 2 * turn outweighs the old direction.
    path = trajectory(np.random.default_rng(2), 100, steps=101, shake=Shake(0, 0, 1.0, scale=1.0))
    steps = np.diff(path, axis=0)
    cosines = (steps[1:] * steps[:-1]).sum(axis=1)
    assert np.median(cosines) < 0
    calm = np.diff(trajectory(np.random.default_rng(2), 100, steps=101, shake=STEADY), axis=0)
    assert (calm[1:] * calm[:-1]).sum(axis=1) == pytest.approx(1)


def test_the_first_steps_follow_algorithm_1_by_hand() -> None:
    seed, shake = 11, Shake(inertia=0.6, gaussian=0.4, impulse=0.0, scale=0.5)
    path = trajectory(np.random.default_rng(seed), 8, steps=5, shake=shake)
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * math.pi)
    noise = rng.standard_normal((5, 2))
    velocity, position, expected = np.array([math.cos(angle), math.sin(angle)]), np.zeros(2), []
    for t in range(4):
        velocity = velocity + 0.5 * (0.4 * noise[t] - 0.6 * position)
        velocity = velocity / math.hypot(*velocity)
        position = position + 2.0 * velocity
        expected.append(position)
    assert path[1:] == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("length_px", [-1.0, math.nan, math.inf])
def test_impossible_lengths_are_refused(length_px: float) -> None:
    with pytest.raises(ValueError, match="length_px is"):
        trajectory(np.random.default_rng(0), length_px)


def test_one_position_is_no_path() -> None:
    with pytest.raises(ValueError, match="at least 2 positions"):
        trajectory(np.random.default_rng(0), 5, steps=1)


def test_kernel_of_a_straight_five_pixel_path() -> None:
    kernel = kernel_from_trajectory([(x, 0) for x in range(5)])
    expected = np.zeros((5, 5))
    expected[2] = 0.2
    assert kernel == pytest.approx(expected, abs=1e-12)


def test_kernel_of_a_path_between_pixels() -> None:
    # Positions -0.5 and 0.5: each is shared by its two neighbours.
    kernel = kernel_from_trajectory([(10.0, 3.0), (11.0, 3.0)])
    assert kernel == pytest.approx(np.array([[0, 0, 0], [0.25, 0.5, 0.25], [0, 0, 0]]))


def test_x_is_the_column_and_y_the_row() -> None:
    kernel = kernel_from_trajectory([(0, 0), (0, 1), (0, 2)])
    assert kernel[:, 1] == pytest.approx([1 / 3] * 3)


def test_a_resting_camera_does_not_blur() -> None:
    assert kernel_from_trajectory([(3.3, 4.4)] * 9).tolist() == [[1.0]]
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    assert np.array_equal(blur_with_kernel(image, np.ones((1, 1))), image)


@pytest.mark.parametrize("seed", range(8))
def test_random_kernels_sum_to_one_and_are_centred(seed: int) -> None:
    kernel = random_kernel(np.random.default_rng(seed), 18.0)
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
    assert _centroid(kernel) == pytest.approx((0, 0), abs=1e-9)


def test_longer_paths_spread_further() -> None:
    def spread(length_px: float) -> float:
        kernel = random_kernel(np.random.default_rng(4), length_px, size=61, shake=STEADY)
        ys, xs = np.mgrid[-30:31, -30:31]
        return float((kernel * (xs**2 + ys**2)).sum())

    spreads = [spread(length) for length in (2, 5, 10, 20, 40)]
    assert spreads == sorted(spreads)
    # The variance of a uniform segment of length L is L^2 / 12; bilinear spreading adds below 0.5.
    assert spreads[-1] == pytest.approx(40**2 / 12, abs=0.6)


def test_size_is_kept_and_too_small_or_even_sizes_are_refused() -> None:
    path = [(x, 0) for x in range(5)]
    larger = kernel_from_trajectory(path, size=9)
    assert larger.shape == (9, 9)
    assert larger[2:-2, 2:-2] == pytest.approx(kernel_from_trajectory(path))
    for size in (3, 6, 8):
        with pytest.raises(ValueError, match=f"size is {size}; this path needs an odd size of 5"):
            kernel_from_trajectory(path, size=size)


@pytest.mark.parametrize("points", [[], [1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_points_of_other_shapes_are_refused(points: list[float]) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        kernel_from_trajectory(points)


def test_points_with_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        kernel_from_trajectory([(0.0, math.nan)])


def test_blur_is_a_convolution_in_linear_light() -> None:
    rng = np.random.default_rng(8)
    image = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    kernel = rng.random((5, 5))
    kernel /= kernel.sum()
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect").astype(float)
    linear = (padded / 255) ** 2.2
    expected = np.zeros(image.shape)
    for y in range(9):
        for x in range(11):
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    # Convolution: the kernel's entry to the right takes the pixel to the left.
                    weight = kernel[2 + dy, 2 + dx]
                    expected[y, x] += weight * linear[2 + y - dy, 2 + x - dx]
    blurred = blur_with_kernel(image, kernel)
    assert blurred.dtype == np.uint8
    assert np.abs(blurred - 255 * expected ** (1 / 2.2)).max() <= 0.5 + 1e-9
    as_floats = blur_with_kernel(image / 255, kernel)
    assert as_floats.dtype == np.float64
    assert as_floats == pytest.approx(expected ** (1 / 2.2), abs=1e-9)


def test_a_large_kernel_agrees_with_the_sum_of_shifted_pictures() -> None:
    # Above 11 x 11 OpenCV convolves by DFT: another path to check.
    rng = np.random.default_rng(9)
    image = rng.integers(0, 256, (40, 42, 3), dtype=np.uint8)
    kernel = random_kernel(rng, 30.0, size=31)
    linear = (np.pad(image, ((15, 15), (15, 15), (0, 0)), mode="reflect") / 255) ** 2.2
    expected = np.zeros(image.shape)
    for row, column in zip(*np.nonzero(kernel), strict=True):
        window = linear[30 - row : 70 - row, 30 - column : 72 - column]
        expected += kernel[row, column] * window
    blurred = blur_with_kernel(image, kernel)
    assert np.abs(blurred - 255 * expected ** (1 / 2.2)).max() <= 0.5 + 1e-6


def test_half_black_half_white_is_186() -> None:
    image = _grey(0)
    image[:, 2:] = 255
    kernel = np.array([[0, 0, 0], [0.5, 0.5, 0.0], [0, 0, 0]])
    blurred = blur_with_kernel(image, kernel)
    assert blurred[0, :, 0].tolist() == [0, 186, 255, 255, 255]
    assert blur_with_kernel(image, kernel, gamma=1.0)[0, 1, 0] == 128


def test_a_flat_picture_stays_flat() -> None:
    kernel = random_kernel(np.random.default_rng(1), 12, size=13)
    for value in (0, 1, 77, 255):
        assert np.unique(blur_with_kernel(_grey(value, 20, 20), kernel)).tolist() == [value]


@pytest.mark.parametrize(
    ("image", "kernel", "message"),
    [
        (np.zeros((8, 8), np.uint8), np.ones((1, 1)), r"expected \(height, width, 3\)"),
        (np.zeros((8, 8, 3), np.int16), np.ones((1, 1)), "picture is int16"),
        (np.full((8, 8, 3), 7.0), np.ones((1, 1)), r"values are in \[0, 1\]"),
        (np.full((8, 8, 3), np.nan), np.ones((1, 1)), r"values are in \[0, 1\]"),
        (np.zeros((8, 8, 3), np.uint8), np.full((2, 2), 0.25), "odd side"),
        (np.zeros((8, 8, 3), np.uint8), np.full((1, 3), 1 / 3), "odd side"),
        (np.zeros((8, 8, 3), np.uint8), np.ones((3, 3)), "kernel sums to 9"),
        (np.zeros((4, 9, 3), np.uint8), np.full((9, 9), 1 / 81), "too large for a picture"),
    ],
)
def test_blur_refuses(image: np.ndarray, kernel: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        blur_with_kernel(image, kernel)


def test_blur_refuses_a_gamma_of_zero() -> None:
    with pytest.raises(ValueError, match="gamma is 0"):
        blur_with_kernel(_grey(3), np.ones((1, 1)), gamma=0)


def test_a_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)

    def make(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return add_noise_and_jpeg(rng, blur_with_kernel(image, random_kernel(rng, 9))).tobytes()

    assert make(1) == make(1)
    assert make(1) != make(2)
