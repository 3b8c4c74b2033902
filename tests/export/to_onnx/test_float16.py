from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from edgedeblur.export.to_onnx.float16 import to_half
from onnx import TensorProto, helper, numpy_helper

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def network(weight=0.1, *, pairs=False, tanh=True):
    """image -> 1x1 convolution -> twice as large and back -> tanh -> + image -> clip."""
    nodes, inits = [], []

    def hold(value, name):
        inits.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    hold(np.full((3, 3, 1, 1), weight, np.float32), "w")
    hold(np.array([0.01, 0.02, 0.03], np.float32), "b")
    source = "image"
    if pairs:
        scale, zero = hold(np.float32(1e-9), "s"), hold(np.int8(0), "z")
        nodes.append(helper.make_node("QuantizeLinear", ["image", scale, zero], ["q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", scale, zero], ["dq"]))
        source = "dq"
    nodes += [
        helper.make_node("Conv", [source, "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node(
            "Resize", ["r", "", hold(np.array([1, 1, 2, 2], np.float32), "up")], ["u"],
            mode="nearest",
        ),
        helper.make_node("AveragePool", ["u"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Tanh" if tanh else "Relu", ["p"], ["t"]),
        helper.make_node("Add", ["t", "image"], ["a"]),
        helper.make_node(
            "Clip", ["a", hold(np.float32(-1), "lo"), hold(np.float32(1), "hi")], ["deblurred"]
        ),
    ]  # fmt: skip
    shape = [1, 3, 4, 4]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", FLOAT, shape)],
        [helper.make_tensor_value_info("deblurred", FLOAT, shape)],
        inits,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model, image):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    return found | {t.name: t.data_type for t in inferred.initializer}


def test_half_inside_and_float_from_the_tanh_on():
    half = to_half(network())
    onnx.checker.check_model(half, full_check=True)
    found = types(half)
    assert {found[name] for name in ("c", "r", "u", "p")} == {HALF}
    assert {found[name] for name in ("t", "a", "deblurred")} == {FLOAT}
    assert found["up"] == FLOAT  # how much larger is no activation
    assert {found[name] for name in ("lo", "hi")} == {FLOAT}


def test_the_picture_is_added_as_it_came():
    half = to_half(network(weight=0.0))
    image = np.linspace(-0.95, 0.95, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    residual = np.tanh(np.float16([0.01, 0.02, 0.03]).astype(np.float32)).reshape(1, 3, 1, 1)
    assert np.abs(run(half, image) - (image + residual)).max() < 1e-7  # half would miss by 2e-4


def test_what_was_given_stays():
    model = network()
    before = model.SerializeToString()
    to_half(model)
    assert model.SerializeToString() == before


def test_scales_never_become_zero():
    half = to_half(network(pairs=True))
    onnx.checker.check_model(half, full_check=True)  # from opset 19 on, pairs may be half
    held = {t.name: numpy_helper.to_array(t) for t in half.graph.initializer}
    assert held["s/half"].dtype == np.float16
    assert float(held["s/half"]) == 2.0**-24


def test_weights_too_large_for_half_floats():
    with pytest.raises(ValueError, match=r"w holds 7e\+04, above float16's maximum 65504"):
        to_half(network(weight=70_000.0))


def test_without_a_tanh_all_after_the_last_convolution_stays_float32():
    half = to_half(network(tanh=False))
    found = types(half)
    assert found["c"] == HALF
    assert {found[name] for name in ("r", "u", "p", "t", "a")} == {FLOAT}
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 4, 4)).astype(np.float32)
    assert np.abs(run(half, image) - run(network(tanh=False), image)).max() < 1e-3
