from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.benchmarks.plan import Request, read_engines

from .support import SIZE, conditions, write_artifact

WEIGHT = np.zeros((3, 3, 3, 3))


def errors(*engines, **changes):
    request = Request(engines, (), conditions(**changes), ())
    return [engine.error for engine in read_engines(request)]


@pytest.mark.parametrize("changes", [{"size": (36, 52)}, {"sizes": ((64, 96), (36, 52))}])
def test_sizes_suit_each_network_of_free_size_by_itself(changes, tmp_path):
    coarse = write_artifact(tmp_path / "coarse.onnx", WEIGHT, size=None)
    fine = write_artifact(tmp_path / "fine.onnx", WEIGHT, size=None, size_multiple=4)
    assert errors(coarse, fine, **changes) == [
        f"{coarse}: cannot be measured at 36x52: both sides must be multiples of 32; the next "
        "larger is 64x64",
        None,
    ]
    assert errors(coarse, fine, size=SIZE) == [None, None]


def test_files_of_fixed_size_are_measured_at_theirs(tmp_path):
    fixed = write_artifact(tmp_path / "fixed.onnx", WEIGHT)
    assert errors(fixed, size=(36, 52)) == [None]
