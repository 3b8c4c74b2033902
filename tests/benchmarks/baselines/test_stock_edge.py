from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.benchmarks.baselines import stock
from edgedeblur.benchmarks.baselines.baselines import STOCK_ROWS
from edgedeblur.benchmarks.counts.footprint import measure_footprint
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.network.counting import conv_macs
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
        counted = measure_footprint(path, runner.manifest, SIZE)
    wanted = pytorch(load_checkpoint("zoo:mobilenet_dsc"), image, norm="frozen")
    assert np.abs(result - wanted).max() <= 1e-4
    # As the pictures' network at this size, whichever file it is counted from.
    generator = generator_from(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    assert counted.macs == conv_macs(generator, SIZE)
    assert 1_100_000 < counted.params < 1_200_000
