from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.models.training.reports.curves import curve_points, write_curves
from PIL import Image

LOG = [
    *({"step": step, "loss": 1.0 / step} for step in range(1, 31)),
    {"step": 10, "gain_db": 0.1},
    {"step": 30, "gain_db": 0.4},
]


def test_points_are_the_logs_numbers():
    loss, gain = curve_points(LOG)
    assert gain == [(10.0, 0.1), (30.0, 0.4)]
    assert loss[0] == (1.0, 1.0)
    assert loss[1] == (2.0, pytest.approx(0.75))
    assert loss[29] == (30.0, pytest.approx(np.mean([1 / s for s in range(10, 31)])))


def test_the_curve_falls_from_left_to_right(tmp_path):
    write_curves(LOG, tmp_path / "curves.png")
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")).astype(int)
    assert picture.shape == (640, 900, 3)
    blue = np.abs(picture - np.array([0x00, 0x72, 0xB2])).sum(axis=2) == 0
    rows, columns = np.nonzero(blue[:320])
    assert rows[columns < 120].mean() < rows[columns > 800].mean()  # higher up on the left


def test_an_empty_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no losses"):
        write_curves([], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
