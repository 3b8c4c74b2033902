from __future__ import annotations

import math

import numpy as np
import pytest
from edgedeblur.runtimes.compare import max_abs, psnr_db, residual_snr_db, ssim


def test_psnr_by_hand():
    black = np.zeros((2, 2, 3), np.uint8)
    assert psnr_db(black, black) == math.inf
    assert psnr_db(black, black + np.uint8(255)) == pytest.approx(0.0)
    one_off = black.copy()
    one_off[0, 0, 0] = 12  # mean square 144 / 12 = 12
    assert psnr_db(black, one_off) == pytest.approx(10 * math.log10(255**2 / 12))
    assert psnr_db(one_off, black) == psnr_db(black, one_off)


def test_psnr_does_not_wrap_around_in_uint8():
    assert psnr_db(np.full((4, 4, 3), 250, np.uint8), np.full((4, 4, 3), 5, np.uint8)) == (
        pytest.approx(20 * math.log10(255 / 245))
    )


def _ssim_by_the_paper(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equations 14 to 16 and 13, one window at a time."""
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            values.append(
                (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
            )
    return float(np.mean(values))


def test_ssim_against_the_papers_equations():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (17, 21, 3), dtype=np.uint8)
    second = np.clip(first.astype(int) + rng.integers(-40, 40, first.shape), 0, 255).astype("uint8")
    by_hand = np.mean(
        [
            _ssim_by_the_paper(first[..., c].astype(float), second[..., c].astype(float))
            for c in range(3)
        ]
    )
    assert ssim(first, second) == pytest.approx(by_hand, abs=1e-9)
    assert ssim(first, first) == pytest.approx(1.0)


def test_residual_snr_by_hand():
    image = np.zeros((1, 3, 2, 2), np.float32)
    reference = image + np.float32(0.1)
    output = image + np.float32(0.11)
    assert residual_snr_db(output, reference, image) == pytest.approx(20.0, abs=1e-4)
    assert residual_snr_db(reference, reference, image) == math.inf
    # A network that does nothing keeps a high whole-picture similarity and none of the residual.
    assert residual_snr_db(image, reference, image) == pytest.approx(0.0)


def test_max_abs():
    first = np.zeros((1, 3, 2, 2), np.float32)
    second = first.copy()
    second[0, 1, 1, 0] = -0.25
    assert max_abs(first, second) == 0.25


@pytest.mark.parametrize("measure", [psnr_db, ssim])
def test_pictures_must_be_comparable(measure):
    picture = np.zeros((12, 12, 3), np.uint8)
    with pytest.raises(
        TypeError, match="only uint8 pictures can be compared, not float32 and uint8"
    ):
        measure(picture.astype(np.float32), picture)
    with pytest.raises(ValueError, match=r"shapes \(12, 12, 3\) and \(12, 11, 3\)"):
        measure(picture, picture[:, :11])
    with pytest.raises(ValueError, match="empty"):
        measure(picture[:0], picture[:0])


def test_ssim_needs_a_whole_window():
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(np.zeros((10, 40, 3), np.uint8), np.zeros((10, 40, 3), np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_always_fail(bad):
    good = np.zeros((1, 3, 2, 2), np.float32)
    spoilt = good.copy()
    spoilt[0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        max_abs(spoilt, good)
    with pytest.raises(ValueError, match="NaN or infinity"):
        residual_snr_db(spoilt, good + 1, good)


def test_nothing_compared_is_not_a_match():
    good = np.zeros((1, 3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="empty"):
        max_abs(good[:0], good[:0])
    with pytest.raises(ValueError, match="changes nothing"):
        residual_snr_db(good, good, good)
