from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from edgedeblur.quantize.ptq.onnx_graph import kept_nodes, quantise
from edgedeblur.quantize.ptq.ranges import TensorStats
from edgedeblur.quantize.recipe import Recipe
from onnx import TensorProto, helper, numpy_helper

RECIPE = Recipe("static_w8a8_perchannel_symmetric", keep=(), pairs="fused")
FIRST = np.array([[2.0, 0.5], [-1.0, 0.25]], np.float32).reshape(2, 2, 1, 1)
DEPTH = np.array([3.0, 1.0], np.float32).reshape(2, 1, 1, 1)


def network():
    """Two channels: convolution, ReLU, depthwise convolution, + skip, tanh."""
    nodes = [
        helper.make_node("Conv", ["image", "first.weight"], ["c"], name="first"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "depth.weight"], ["d"], name="depth", group=2),
        helper.make_node("Add", ["image", "d"], ["a"], name="add"),
        helper.make_node("Conv", ["a", "last.weight"], ["l"], name="last"),
        helper.make_node("Tanh", ["l"], ["deblurred"], name="tanh"),
    ]
    held = {"first.weight": FIRST, "depth.weight": DEPTH, "last.weight": FIRST}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, 1, 1])],
        [helper.make_tensor_value_info("deblurred", TensorProto.FLOAT, [1, 2, 1, 1])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


STATS = {
    name: TensorStats(low, high, np.array([low, high], np.float32), np.zeros(2))
    for name, (low, high) in {
        "image": (-1.0, 0.5), "c": (-3.0, 3.0), "r": (0.0, 2.54), "d": (0.0, 6.0), "a": (-1.0, 6.35)
    }.items()
}  # fmt: skip


def paired(model):
    """Tensors that a QuantizeLinear reads."""
    return [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]


def test_pairs_stand_before_convolutions_and_on_the_skip_only():
    model = quantise(network(), STATS, RECIPE)
    # The picture: read by `first` and, as the skip beside depth's output, by the addition.
    assert paired(model) == ["image", "r", "a"]
    readers = {node.name: list(node.input) for node in model.graph.node if node.name}
    assert readers["first"][0] == "image/dq"
    assert readers["relu"] == ["c"]  # nothing between a convolution and its ReLU
    assert readers["add"] == ["image/dq", "d"]  # the convolution's own output stays float
    assert readers["last"][0] == "a/dq"


def test_kept_convolutions_read_float_and_make_no_skip():
    recipe = Recipe(RECIPE.name, keep=("depthwise",), pairs="fused")
    assert kept_nodes(network(), recipe) == {"depth", "tanh"}
    model = quantise(network(), STATS, recipe)
    assert paired(model) == ["image", "a"]
    readers = {node.name: list(node.input) for node in model.graph.node if node.name}
    assert readers["depth"] == ["r", "depth.weight"]
    assert readers["add"] == ["image", "d"]


def test_integers_and_the_answer_by_hand():
    model = quantise(network(), STATS, RECIPE)
    onnx.checker.check_model(model, full_check=True)
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    # symmetric: the larger side over 127; weights per output channel, largest 2 and 1
    assert float(held["image/scale"]) == pytest.approx(1.0 / 127)
    assert float(held["r/scale"]) == pytest.approx(0.02)
    assert held["first.weight/q"].ravel().tolist() == [127, 32, -127, 32]
    assert not any(value.any() for name, value in held.items() if name.endswith("/zero"))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.array([0.4, -0.3], np.float32).reshape(1, 2, 1, 1)
    x = np.array([51, -38]) / 127.0  # round(0.4 * 127), round(-0.3 * 127)
    first = np.array([[127, 32], [-127, 32]]) * np.array([[2.0], [1.0]]) / 127
    relu = np.maximum(first @ x, 0)
    depth = np.rint(relu / 0.02).clip(-127, 127) * 0.02 * np.array([3.0, 1.0])
    added = np.rint((x + depth) / 0.05).clip(-127, 127) * 0.05  # 6.35 / 127
    expected = np.tanh(first @ added)
    found = session.run(None, {"image": image})[0].ravel()
    assert found == pytest.approx(expected, abs=1e-5)


def test_recipes_that_contradict_themselves():
    with pytest.raises(
        ValueError, match="need symmetric 8-bit activations, which static_w8a8_perchannel"
    ):
        Recipe("static_w8a8_perchannel", pairs="fused")
    with pytest.raises(ValueError, match="pairs is 'somewhere'; known: everywhere, fused"):
        Recipe(pairs="somewhere")
