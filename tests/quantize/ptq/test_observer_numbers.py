"""What observers do where nobody names a setting, in numbers that a person can check."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.quantize.ptq.observers import by_entropy, by_mse, fake_quantised, observe
from edgedeblur.quantize.recipe import Recipe


def test_the_default_percentile_leaves_out_one_value_in_ten_thousand():
    values = np.arange(-10_000, 10_001, dtype=np.float32)  # 0.01 % of 20 000 steps are 2
    low, high = observe("percentile", values, -10_000.0, 10_000.0)
    assert low == pytest.approx(-9998, abs=1e-6)
    assert high == pytest.approx(9998, abs=1e-6)


def test_a_recipe_names_the_same_percentile():
    assert Recipe().percentile == 99.99


def test_names_are_compared_by_their_letters():
    names = "minmax percentile mse entropy"
    values = np.append(np.linspace(0, 1, 100_001), [-1.0, 8.0]).astype(np.float32)
    minmax, percentile, mse, entropy = (
        observe(name, values, -1.0, 8.0, percentile=90.0)
        for name in names.split()  # equal texts, other objects
    )
    assert minmax == (-1.0, 8.0)
    assert percentile == (0.0, pytest.approx(0.9, abs=0.001))
    assert percentile[1] < entropy[1] < 8.0
    assert mse[1] < 8.0
    assert mse[0] == pytest.approx(-mse[1] / 8)  # both ends shrink alike
    for name in ("", "a", "f", "minmay", "n", "percentilf", "z"):
        with pytest.raises(ValueError, match="unknown observer"):
            observe(name, values, -1.0, 8.0)


@pytest.mark.parametrize("observer", ["minmax", "percentile", "mse", "entropy"])
def test_without_a_sample_the_extremes_are_the_range(observer):
    nothing = np.empty(0, np.float32)
    assert observe(observer, nothing, -1.0, 0.5) == (-1.0, 0.5)
    assert observe(observer, nothing, 0.25, 0.5) == (0.0, 0.5)
    assert observe(observer, np.zeros(9, np.float32), 0.0, 0.0) == (0.0, 0.0)
    low, high = float("2.5"), float("2.5")  # equal, and two objects
    assert observe(observer, np.full(9, 1.0, np.float32), low, high) == (0.0, 2.5)


def test_a_sample_of_one_value_is_a_sample():
    assert observe("percentile", np.float32([0.5]), -3.0, 2.0) == (0.0, 0.5)


def test_mse_narrows_both_ends_alike():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.1, 100_000), [4.0, -2.0]]).astype(np.float32)
    low, high = by_mse(values, -2.0, 4.0)
    assert high < 3.9
    assert low == pytest.approx(-high / 2)


def test_entropy_finds_an_edge_of_its_257_bins_and_keeps_128_levels():
    rng = np.random.default_rng(0)
    values = np.append(rng.laplace(0, 1, 50_000), [60.0, -60.0]).astype(np.float32)
    low, high = by_entropy(values, -60.0, 60.0)
    bins = high / (120 / 257) - 0.5  # on either side of the middle bin
    assert bins == pytest.approx(round(bins), abs=1e-4)
    assert 64 <= bins < 100  # 128 levels need as many bins; the tails are given up
    assert low == pytest.approx(-high)


def test_the_zero_point_is_rounded_to_the_nearest_level():
    # -low / scale = 64.7, so zero is level 65: what lies above level 255 becomes 190 steps.
    found = fake_quantised(np.array([9.0, 0.0, -9.0]), -1.0, 255 / 64.7 - 1)
    assert found.tolist() == pytest.approx([190 / 64.7, 0.0, -65 / 64.7])


def test_a_range_of_nothing_gives_zeros_and_a_scale_of_one_whole_numbers():
    assert fake_quantised(np.array([3.0, -1.0]), 0.0, 0.0).tolist() == [0.0, 0.0]
    assert fake_quantised(np.array([3.2, 254.9, 300.0]), 0.0, 255.0).tolist() == [3.0, 255.0, 255.0]
