"""The measures where a wrong sign, limit or constant would show, in numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgedeblur.runtimes.compare import energy_snr_db, max_abs, psnr_db, residual_snr_db, ssim


def flat(value, shape=(11, 11, 3)):
    return np.full(shape, value, np.uint8)


def test_max_abs_is_of_the_difference():
    first, second = np.float32([0.5, 2.0]), np.float32([-0.25, 1.5])
    assert max_abs(first, second) == max_abs(second, first) == 0.75


def test_residual_snr_is_of_what_was_added_to_the_picture():
    image = np.full((1, 3, 2, 2), 0.5)
    reference, output = image + 0.1, image + 0.13
    # 20 log10(0.1 / 0.03): no whole number, and no residual is measured against the picture.
    assert residual_snr_db(output, reference, image) == pytest.approx(10.457575, abs=1e-6)


def test_energies_below_one_count_like_any_other():
    assert energy_snr_db(0.75, 0.5) == pytest.approx(1.760913, abs=1e-6)
    assert energy_snr_db(0.5, 1.0) == pytest.approx(-3.0103, abs=1e-5)
    assert energy_snr_db(1.0, 1.0) == 0.0
    with pytest.raises(ValueError, match="changes nothing"):
        energy_snr_db(0.0, 1.0)


def test_ssim_of_flat_pictures_is_the_constant_of_luminance():
    # No variance: (2 m n + c1) / (m^2 + n^2 + c1) with c1 = (0.01 * 255)^2 = 6.5025.
    assert ssim(flat(0), flat(2)) == pytest.approx(6.5025 / 10.5025, abs=1e-12)
    assert ssim(flat(1), flat(3)) == pytest.approx(12.5025 / 16.5025, abs=1e-12)


def test_ssim_takes_one_window_and_no_less_on_either_side():
    assert ssim(flat(9), flat(9)) == pytest.approx(1.0)
    for shape in ((10, 40, 3), (40, 10, 3)):
        with pytest.raises(ValueError, match="at least 11 pixels"):
            ssim(flat(0, shape), flat(0, shape))


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.float64])
def test_either_picture_of_another_type_is_refused(kind):
    good, bad = flat(1), flat(1).astype(kind)
    for pair in ((good, bad), (bad, good), (bad, bad)):
        with pytest.raises(TypeError, match="only uint8 pictures can be compared"):
            psnr_db(*pair)


@pytest.mark.parametrize("shape", [(11, 12, 3), (12, 11, 3), (11, 11, 4), (11, 11)])
def test_another_shape_is_refused_in_either_order(shape):
    for pair in ((flat(1), flat(1, shape)), (flat(1, shape), flat(1))):
        with pytest.raises(ValueError, match="cannot compare shapes"):
            psnr_db(*pair)


def test_one_level_in_one_value_is_seen():
    first, second = flat(7, (1, 1, 3)), flat(7, (1, 1, 3))
    second[0, 0, 2] = 8  # a mean square of 1/3
    assert psnr_db(first, second) == pytest.approx(10 * math.log10(3 * 255**2))
