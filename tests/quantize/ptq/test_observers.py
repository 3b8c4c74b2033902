from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.quantize.ptq.observers import by_mse, fake_quantised, observe
from hypothesis import given
from hypothesis import strategies as st


def test_minmax_is_the_extremes_with_zero():
    values = np.float32([0.5, 2.0])
    assert observe("minmax", values, 0.5, 2.0) == (0.0, 2.0)
    assert observe("minmax", values, -1.0, 2.0) == (-1.0, 2.0)


def test_percentile_leaves_out_the_ends():
    values = np.arange(10_001, dtype=np.float32)  # 99 % of it lies in 100 .. 9900 either side
    assert observe("percentile", values, 0, 10_000, percentile=99) == (0.0, pytest.approx(9900))
    assert observe("percentile", -values, -10_000, 0, percentile=99)[0] == pytest.approx(-9900)


def test_fake_quantisation_by_hand():
    # low -1, high 191/64: scale 1/64, zero 64. 0.3 -> 19.2 -> 19; -2 -> clipped to level 0 = -1;
    # 0.5/64 and 1.5/64 are halves, which go to the even levels 0 and 2.
    values = np.array([0.3, -2.0, 9.0, 0.0, 0.5 / 64, 1.5 / 64])
    expected = [19 / 64, -1.0, 191 / 64, 0.0, 0.0, 2 / 64]
    assert fake_quantised(values, -1.0, 191 / 64).tolist() == expected


def test_mse_gives_up_an_outlier_for_the_rest():
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(0, 0.1, 100_000), 4.0).astype(np.float32)
    low, high = by_mse(values, float(values.min()), 4.0)
    assert high == pytest.approx(3.44)  # 86 % of 4: where both errors together are least
    whole = fake_quantised(values, float(values.min()), 4.0)
    cut = fake_quantised(values, low, high)
    assert np.mean((cut - values) ** 2) < np.mean((whole - values) ** 2)


def test_mse_keeps_a_uniform_range_whole():
    values = np.linspace(-1, 1, 10_001, dtype=np.float32)
    assert by_mse(values, -1.0, 1.0) == (-1.0, 1.0)


def test_entropy_cuts_a_far_outlier_and_nothing_that_was_not_seen():
    rng = np.random.default_rng(0)
    values = np.append(np.abs(rng.normal(0, 1, 50_000)), 60.0).astype(np.float32)
    low, high = observe("entropy", values, 0.0, 60.0)
    assert low == 0.0
    assert 2.0 < high < 60.0


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_every_range_holds_zero_and_is_ordered(a, b):
    low, high = min(a, b), max(a, b)
    values = np.linspace(low, high, 50, dtype=np.float32)
    for observer in ("minmax", "percentile", "mse"):
        found = observe(observer, values, low, high)
        assert found[0] <= 0.0 <= found[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_ranges_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        observe("minmax", np.float32([1]), 0.0, bad)


def test_unknown_observer():
    with pytest.raises(ValueError, match="unknown observer 'mean'"):
        observe("mean", np.float32([1, 2]), 1.0, 2.0)
