from __future__ import annotations

import json

import numpy as np
import pytest
from edgedeblur.benchmarks.baselines import stock
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.counts.tflite_counts import count_tflite
from edgedeblur.benchmarks.report.sizes import size_table
from edgedeblur.benchmarks.result import Footprint, Row
from edgedeblur.benchmarks.timing.tflite_profile import profile, single_operator
from edgedeblur.export.prepare import prepare
from edgedeblur.export.to_tflite.operators import store_float16_weights
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tflite.tflite_file import TfliteFile

from tests import converted
from tests.contracts import SIZE, pytorch

pytest.importorskip("litert_torch", reason="litert-torch is not installed: pip install '.[tflite]'")


@pytest.fixture(scope="module")
def network():
    return prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")


@pytest.fixture(scope="module", params=["float32", "float16"])
def path(request, network, tmp_path_factory):
    file = converted.to_operators(network, SIZE, levels=False)
    if request.param == "float16":
        store_float16_weights(file)
    path = tmp_path_factory.mktemp(request.param) / "net.tflite"
    path.write_bytes(file.pack())
    return path


def test_counts_are_pytorchs(path, network):
    counts = count_tflite(path)
    assert counts.macs == conv_macs(network.module, SIZE)
    # TFLite writes a bias of zeros where PyTorch has none.
    biases = sum(m.out_channels for m in network.module.modules()
                 if getattr(m, "bias", 0) is None and hasattr(m, "out_channels"))  # fmt: skip
    assert counts.params == sum(p.numel() for p in network.module.parameters()) + biases
    assert counts.macs < counts.macs_elementwise < 1.1 * counts.macs


def test_every_operator_is_timed_alone(path):
    found = profile(path, threads=1, runs=1)
    file = TfliteFile.read(path)
    constant = sum(file.kind(o) == "DEQUANTIZE" for o in file.operators)
    assert len(found.operators) == len(file.operators) - constant
    assert {o.kind for o in found.operators if not o.xnnpack} == {"RESIZE_NEAREST_NEIGHBOR"}
    assert all(o.median_ms > 0 for o in found.operators)
    assert found.sum_ms == pytest.approx(sum(o.median_ms for o in found.operators))


def test_an_operator_alone_keeps_its_weights(path, network, tmp_path):
    file = TfliteFile.read(path)
    names = [file.name(int(o.outputs[0])) for o in file.operators]
    index = names.index("lateral1")
    one = TfliteFile(single_operator(path.read_bytes(), index))
    assert one.kind(one.operators[-1]) == "CONV_2D"
    from ai_edge_litert.interpreter import Interpreter

    opened = Interpreter(model_content=one.pack())
    opened.allocate_tensors()
    entry = opened.get_input_details()[0]
    values = np.random.default_rng(1).uniform(-1, 1, entry["shape"]).astype(np.float32)
    opened.set_tensor(entry["index"], values)
    opened.invoke()
    weight = network.module.fpn.lateral1.weight.detach().numpy()[:, :, 0, 0]
    expected = values @ weight.T
    result = opened.get_tensor(opened.get_output_details()[0]["index"])
    assert np.abs(result - expected).max() <= 3e-3


def test_profile_command(path, capsys):
    command = ["--profile", "--engine", str(path), "--runs", "1", "--threads", "1"]
    assert main([*command, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["threads"] == 1
    assert body["sum_ms"] > 0
    assert main(command) == 0
    assert "Each operator alone" in capsys.readouterr().out


def test_profile_takes_tflite_only(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--profile", "--engine", str(tmp_path / "net.onnx")])
    assert stopped.value.code == 2
    assert "--profile takes one --engine, a .tflite file" in capsys.readouterr().err


@pytest.mark.slow
def test_stock_tflite_computes_what_pytorch_does_in_eval_mode(tmp_path, image):
    path = tmp_path / "stock.tflite"
    stock.build_stock(zoo_path("mobilenet_dsc"), SIZE, path)
    assert stock.routes(path) == ("litert",)
    with open_runner(path, threads=2) as runner:
        assert runner.manifest.target == "stock-tflite-fp32"
        expected = pytorch(load_checkpoint("zoo:mobilenet_dsc"), image)
        assert np.abs(runner.infer(image) - expected).max() <= 1e-4


def row(target, backbone, size, **more):
    footprint = Footprint(size, 1, (32, 32), 1, 2, None, None, "graph")
    return Row(engine="x", target=target, backbone=backbone, footprint=footprint, **more)


def test_download_sizes_by_target():
    rows = [
        row("tflite-fp32", "a", 4_000_000), row("tflite-int8", "a", 1_200_000),
        row("onnx-fp32", "b", 5_000_000), row("stock-onnx-fp32", "a", 9, baseline="stock"),
        Row(engine="broken", error="no"),
    ]  # fmt: skip
    assert size_table(rows) == [
        ["target", "a, MB", "b, MB"],
        ["tflite-fp32", "4.00", "-"],
        ["tflite-int8", "1.20 (30 %)", "-"],
        ["onnx-fp32", "-", "5.00"],
    ]
    assert size_table(rows[:1]) == []
