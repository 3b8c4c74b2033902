"""What observers do where nobody names a setting, in numbers that a person can check."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.quantize.ptq.observers import observe
from edgedeblur.quantize.recipe import Recipe


def test_the_default_percentile_leaves_out_one_value_in_ten_thousand():
    values = np.arange(-10_000, 10_001, dtype=np.float32)  # 0.01 % of 20 000 steps are 2
    low, high = observe("percentile", values, -10_000.0, 10_000.0)
    assert low == pytest.approx(-9998, abs=1e-6)
    assert high == pytest.approx(9998, abs=1e-6)


def test_a_recipe_names_the_same_percentile():
    assert Recipe().percentile == 99.99
