"""Faults planted in one layer, found by name, in every format whose layers can be read."""

import copy
import dataclasses
import json

import numpy as np
import onnx
import pytest
from edgedeblur.export.debug.chart import ROW, WIDTH, write_chart
from edgedeblur.export.debug.cli import main
from edgedeblur.export.debug.compare import CEILINGS_DB, Comparison, LayerDrift, compare
from edgedeblur.export.debug.onnx_taps import OnnxTaps
from edgedeblur.export.debug.torch_taps import TorchTaps
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.to_onnx.float16 import to_half
from edgedeblur.export.to_onnx.target import to_model
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.pipeline import run_plan
from edgedeblur.runtimes.artifact import manifest_path, read_manifest, write_manifest
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.pictures.sample_inputs import load_sample_inputs
from onnx import numpy_helper
from PIL import Image

from ...contracts.support import SIZE, spec_for

PLANTED = "features.5.conv.3"


@pytest.fixture(scope="module")
def graph():
    return prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")


@pytest.fixture(scope="module")
def network(graph):
    return TorchTaps(graph, SIZE)


@pytest.fixture(scope="module")
def model(graph):
    return to_model(graph, ExportSpec("onnx-fp32", SIZE))


@pytest.fixture(scope="module")
def images():
    return [s.image for s in load_sample_inputs(SIZE, 32, dynamic=False, count=2)]


def found(network, model, images, kind="fp32", runtime="onnxruntime"):
    taps = OnnxTaps(model, runtime=runtime)
    return compare(network, taps, images, network.inputs, ceiling_db=CEILINGS_DB[kind])


def node(model, layer):
    return next(each for each in model.graph.node if each.name.endswith(layer))


def test_layers_feed_each_other_as_in_the_network(network):
    inputs = network.inputs
    assert inputs["features.0.0"] == ()
    assert inputs["features.1.conv.0"] == ("features.0.0",)
    # Behind a residual sum: the block's own output and the block before it.
    assert set(inputs["features.4.conv.0"]) == {"features.3.conv.6", "features.2.conv.6"}
    assert set(inputs["smooth.0.depthwise"]) == {f"head{n}.block1.pointwise" for n in (1, 2, 3, 4)}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_faithful_graph_has_no_fall_and_all_layers(network, model, images, runtime):
    comparison = found(network, model, images, runtime=runtime)
    assert comparison.first_fall is None
    assert (comparison.only_first, comparison.only_second) == ((), ())
    assert len(comparison.layers) == sum(n.op_type == "Conv" for n in model.graph.node)


def test_a_graph_in_half_precision_is_read_and_its_fault_named(network, model, images):
    assert found(network, to_half(model), images, "fp16").first_fall is None
    broken = copy.deepcopy(model)
    scaled(broken)
    assert found(network, to_half(broken), images, "fp16").first_fall.name == PLANTED


def scaled(model):
    name = node(model, PLANTED).input[1]
    stored = next(t for t in model.graph.initializer if t.name == name)
    stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored) * np.float32(1.1), name))


def misplaced(model):
    (pads,) = (a for a in node(model, PLANTED).attribute if a.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]


def clipped(model):
    clip = next(n for n in model.graph.node if node(model, PLANTED).output[0] in n.input)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "low_ceiling"))
    clip.input[2] = "low_ceiling"


@pytest.mark.parametrize("plant", [scaled, misplaced, clipped])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_fault_in_a_float_graph_is_named(plant, runtime, network, model, images):
    broken = copy.deepcopy(model)
    plant(broken)
    onnx.checker.check_model(broken)
    assert found(network, broken, images, runtime=runtime).first_fall.name == PLANTED


def test_a_clipped_range_of_a_quantised_graph_is_named(network, model, images):
    plan = spec_for(get_target("onnx-int8")).quantise
    plan = dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, correct_bias=False))
    whole = run_plan(model, plan).model
    assert found(network, whole, images, "int8").first_fall is None
    broken = copy.deepcopy(whole)
    quantised = next(
        n for n in broken.graph.node
        if n.op_type == "QuantizeLinear" and node(broken, PLANTED).output[0] in n.input
    )  # fmt: skip
    for each in broken.graph.node:  # the pair shares one scale
        if each.op_type in ("QuantizeLinear", "DequantizeLinear") and (
            each is quantised or quantised.output[0] in each.input
        ):
            stored = next(t for t in broken.graph.initializer if t.name == each.input[1])
            smaller = numpy_helper.from_array(numpy_helper.to_array(stored) / 8, "smaller")
            if all(t.name != "smaller" for t in broken.graph.initializer):
                broken.graph.initializer.append(smaller)
            each.input[1] = "smaller"
    assert found(network, broken, images, "int8").first_fall.name == PLANTED


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["openvino-fp32", "tflite-fp32", "tflite-int8", "coreml-fp16"])
def test_the_command_names_a_layer_whose_weights_differ(name, tmp_path, capsys):
    """The artifact's weights are those of the checkpoint, but one layer's are doubled."""
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    weight = next(key for key in checkpoint.state if key.endswith(f"{PLANTED}.weight"))
    altered = {**checkpoint.state, weight: checkpoint.state[weight] * 2}
    for state, said in ((checkpoint.state, None), (altered, PLANTED)):
        target = get_target(name)
        path = tmp_path / f"{said}{target.suffix}"
        made = dataclasses.replace(checkpoint, state=state)
        produce(target, made, spec_for(target), path, norm="frozen", rewrites=())
        code = main([str(path), "--against", "zoo:mobilenet_dsc", "--json"])
        body = json.loads(capsys.readouterr().out)
        assert (body["first_fall"], code) == (said, 0 if said is None else 1)
        assert len(body["layers"]) > 60


def test_what_cannot_be_debugged_is_one_line(tmp_path, capsys, model):
    assert main([str(tmp_path / "none.onnx")]) == 1
    assert "none.onnx" in capsys.readouterr().err


def test_an_engine_is_debugged_by_the_graph_it_was_built_from(tmp_path, capsys):
    graph, plan = tmp_path / "typed.onnx", tmp_path / "m.plan"
    target = get_target("onnx-fp32")
    produce(target, load_checkpoint("zoo:mobilenet_dsc"), spec_for(target), graph,
            norm="frozen", rewrites=())  # fmt: skip
    plan.write_bytes(b"an engine")
    engine = {"source_sha256": sha256_of(graph)}
    altered = dataclasses.replace(
        read_manifest(graph), engine=engine, sha256=sha256_of(plan), bytes=plan.stat().st_size
    )
    write_manifest(altered, manifest_path(plan))
    assert main([str(plan)]) == 1
    assert "--typed-graph FILE.onnx" in capsys.readouterr().err
    chart = tmp_path / "chart.png"
    command = [str(plan), "--typed-graph", str(graph), "--chart", str(chart), "--json"]
    assert main(command) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    with Image.open(chart) as picture:
        assert picture.size == (WIDTH, ROW * len(layers) + 104)
    broken = onnx.load(str(graph))
    scaled(broken)
    onnx.save(broken, str(graph))
    assert main(command) == 1
    assert "not the graph that" in capsys.readouterr().err


def test_the_first_fall_stands_out_in_the_chart(tmp_path):
    rows = tuple(LayerDrift(f"layer{n}", snr, 60.0) for n, snr in enumerate((60.0, 20.0, 20.0)))
    write_chart(Comparison(rows, (), ()), "", tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as picture:
        bars = np.asarray(picture.convert("RGB"))[:, 322:1000].astype(int)
    orange = (bars == (213, 94, 0)).all(2).sum(1)
    blue = (bars == (0, 114, 178)).all(2).sum(1)
    first, second, third = (64 + ROW * n + ROW // 2 for n in range(3))
    assert (orange[first], blue[second], orange[third]) == (0, 0, 0)
    # The axis ends at 60 dB: three times the length of 20 dB, less the two pixels cut off.
    assert blue[first] + 2 == pytest.approx(3 * (orange[second] + 2), abs=3)
    assert orange[second] == blue[third]
