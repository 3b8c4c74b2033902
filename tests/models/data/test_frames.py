"""Averaged video frames, noise and JPEG against hand computations."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgedeblur.models.data import add_noise_and_jpeg, average_frame_folder, average_frames


def _grey(value: int, height: int = 4, width: int = 5) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_average_of_frames_by_hand() -> None:
    frames = [_grey(value) for value in (0, 255, 0, 100, 255, 255, 0)]
    blurry, sharp = average_frames(frames)
    # 3 white, 3 black and one frame of 100: the mean of their linear light.
    expected = 255 * ((3 + (100 / 255) ** 2.2) / 7) ** (1 / 2.2)
    assert np.unique(blurry).tolist() == [round(expected)] == [177]
    assert np.unique(sharp).tolist() == [100]
    assert average_frames(frames, gamma=1.0)[0][0, 0, 0] == round(865 / 7)


def test_average_refuses() -> None:
    for count in (0, 1, 2, 8):
        with pytest.raises(ValueError, match=f"got {count} frames; averaging needs an odd number"):
            average_frames([_grey(0)] * count)
    with pytest.raises(ValueError, match="frames differ in shape"):
        average_frames([_grey(0), _grey(0, 5, 5), _grey(0)])
    with pytest.raises(ValueError, match="a frame is float64"):
        average_frames([_grey(0) / 255] * 3)


def test_average_of_a_folder_of_frames(tmp_path: Path) -> None:
    for index in range(9):
        colour = _grey(0)
        colour[..., 0] = 20 * index
        assert cv2.imwrite(str(tmp_path / f"{index:03}.png"), colour[..., ::-1])
    made = list(average_frame_folder(tmp_path, window=3))
    assert [name for name, _, _ in made] == ["001", "004", "007"]
    assert [int(sharp[0, 0, 0]) for _, _, sharp in made] == [20, 80, 140]
    linear = [(value / 255) ** 2.2 for value in (60, 80, 100)]
    assert made[1][1][0, 0].tolist() == [round(255 * (sum(linear) / 3) ** (1 / 2.2)), 0, 0]
    sliding = average_frame_folder(tmp_path, window=5, stride=2)
    assert [name for name, _, _ in sliding] == ["002", "004", "006"]


def test_a_folder_of_frames_refuses(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        next(average_frame_folder(tmp_path / "none"))
    (tmp_path / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="1 frames, fewer than the window of 3"):
        next(average_frame_folder(tmp_path, window=3))
    with pytest.raises(ValueError, match="stride is 0"):
        next(average_frame_folder(tmp_path, window=3, stride=0))
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"0\.png: cannot be decoded"):
        next(average_frame_folder(tmp_path, window=3))


def test_noise_has_the_deviation_asked_for() -> None:
    noisy = add_noise_and_jpeg(np.random.default_rng(3), _grey(128, 100, 100), noise_std=3.0)
    difference = noisy.astype(float) - 128
    # Rounding adds a variance of 1/12.
    assert float(difference.std()) == pytest.approx(math.sqrt(9 + 1 / 12), rel=0.02)
    assert abs(float(difference.mean())) < 0.06
    white = add_noise_and_jpeg(np.random.default_rng(3), _grey(255, 50, 50), noise_std=3.0)
    assert white.min() > 200  # clipped at 255, not wrapped round to 0


def test_no_noise_and_no_jpeg_change_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(add_noise_and_jpeg(np.random.default_rng(0), image, 0.0), image)


def test_jpeg_keeps_the_colours_and_loses_more_at_lower_quality() -> None:
    red = _grey(0, 16, 16)
    red[..., 0] = 200
    coded = add_noise_and_jpeg(np.random.default_rng(0), red, 0.0, jpeg_quality=95)
    assert np.abs(coded.astype(int) - red).max() <= 4
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    errors = [
        np.abs(
            add_noise_and_jpeg(np.random.default_rng(0), image, 0.0, quality) - image.astype(int)
        )
        for quality in (95, 30)
    ]
    assert 0 < errors[0].mean() < errors[1].mean()


@pytest.mark.parametrize(
    ("noise_std", "quality", "message"),
    [(-1.0, None, "noise_std is -1"), (math.nan, None, "noise_std"), (0.0, 0, "1 to 100")],
)
def test_noise_refuses(noise_std: float, quality: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_noise_and_jpeg(np.random.default_rng(0), _grey(0), noise_std, quality)


def test_noise_refuses_floats() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        add_noise_and_jpeg(np.random.default_rng(0), _grey(0) / 255)
