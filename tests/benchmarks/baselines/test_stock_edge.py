from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.benchmarks.baselines import stock
from edgedeblur.benchmarks.baselines.baselines import STOCK_ROWS
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.runtimes.registry import open_runner

from tests.contracts import SIZE, pytorch


@pytest.mark.parametrize(
    ("suffix", "route", "row"),
    [
        (".ncnn", "ncnn", "stock pnnx -> ncnn"),
        (".pte", "executorch", "stock executorch -> xnnpack"),
    ],
)
def test_stock_files_compute_what_pytorch_does_in_eval_mode(suffix, route, row, tmp_path, image):
    path = tmp_path / f"stock{suffix}"
    stock.build_stock(zoo_path("mobilenet_dsc"), SIZE, path)
    assert stock.routes(path) == (route,)
    assert STOCK_ROWS[route] == row
    with open_runner(path, threads=2) as runner:
        assert runner.manifest.target == f"stock-{suffix[1:]}-fp32"
        assert runner.manifest.rewrites == ()
        result = runner.infer(image)
    wanted = pytorch(load_checkpoint("zoo:mobilenet_dsc"), image, norm="frozen")
    assert np.abs(result - wanted).max() <= 1e-4
