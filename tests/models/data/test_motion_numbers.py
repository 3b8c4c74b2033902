"""Where the camera stands at each moment of an exposure, as matrices that a person can check."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgedeblur.models.data.motion import Motion, _pose

SIZE, OFFSET = (60, 80), (7.0, 5.0)  # height, width; x, y: half a diagonal of 50 pixels


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
