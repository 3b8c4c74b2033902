"""What is counted of every operator of ONNX, by the positions that its definition gives inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgedeblur.benchmarks.counts import onnx_counts
from onnx import helper

SIZES = (3, 2, 5, 7, 11, 13, 17, 19, 23)  # of the inputs: no two sums of them are alike
NAMES = tuple(f"i{position}" for position in range(9))


def graph_of(node, *, floats=True, output=29, shapes=None, widths=1):
    """A graph of one node, whose inputs are all stored and of one dimension."""
    sizes = {name: (size,) for name, size in zip(NAMES, SIZES, strict=True)} | {"out": (output,)}
    return onnx_counts._Graph(
        Path("a.onnx"),
        [node],
        sizes | (shapes or {}),
        set(NAMES) | {"out"} if floats else set(),
        dict.fromkeys((*NAMES, "out"), widths),
        {name: sizes[name] for name in NAMES},
    )


# Operator -> the inputs that hold weights or activations; the rest are settings or scales.
VALUES = {
    "Conv": (0, 1, 2), "Resize": (0,), "Upsample": (0,), "Clip": (0,), "Pad": (0,),
    "Reshape": (0,), "QuantizeLinear": (0,), "DequantizeLinear": (0,),
    "BatchNormalization": (0, 1, 2), "QLinearConv": (0, 3, 8), "ConvInteger": (0, 1),
    "Pow": (0,), "QLinearMatMul": (0, 3), "MatMulInteger": (0, 1),
}  # fmt: skip
COUNTS = {
    "Conv": 3, "Resize": 4, "Upsample": 2, "Clip": 3, "Pad": 4, "Reshape": 2, "QuantizeLinear": 3,
    "DequantizeLinear": 3, "BatchNormalization": 5, "QLinearConv": 9, "ConvInteger": 4, "Pow": 2,
    "QLinearMatMul": 8, "MatMulInteger": 4,
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_weights_stand_where_the_definition_puts_them(kind):
    node = helper.make_node(kind, NAMES[: COUNTS[kind]], ["out"])
    expected = sum(SIZES[position] for position in VALUES[kind])
    assert onnx_counts._params(graph_of(node)) == expected
    moved = 0 if kind == "Clip" else 2 * (expected + 29)
    assert onnx_counts._bytes_moved(graph_of(node, widths=2), node) == moved


@pytest.mark.parametrize(
    ("kind", "positions"),
    [
        ("Conv", ()), ("DequantizeLinear", (0,)), ("QLinearConv", (3, 8)), ("ConvInteger", (1,)),
        ("QLinearMatMul", (3,)), ("MatMulInteger", (1,)), ("Resize", ()), ("QuantizeLinear", ()),
    ],
)  # fmt: skip
def test_integers_are_weights_of_quantised_operators_only(kind, positions):
    node = helper.make_node(kind, NAMES[: COUNTS[kind]], ["out"])
    assert onnx_counts._params(graph_of(node, floats=False)) == sum(SIZES[p] for p in positions)


def test_weights_count_once_and_lone_numbers_do_not():
    shapes = {"i0": (1, 2, 4, 6), "w": (5, 2), "one": (1, 1), "none": ()}
    graph = graph_of(helper.make_node("Mul", ["i0", "w"], ["out"]))
    for name in ("w", "one", "none"):
        graph.constants[name] = graph.shapes[name] = shapes[name]
        graph.floats.add(name)
    graph.constants.pop("i0")
    graph.nodes += [
        helper.make_node("Add", ["w", "one"], ["out"]),
        helper.make_node("Sub", ["none", "unknown"], ["out"]),
    ]
    assert onnx_counts._params(graph) == 10
    graph.constants["w"] = (2,)
    assert onnx_counts._params(graph) == 2


@pytest.mark.parametrize(
    ("kind", "weight", "bias"),
    [("Conv", 1, 2), ("FusedConv", 1, 2), ("QLinearConv", 3, 8), ("ConvInteger", 1, None)],
)
def test_a_convolution_multiplies_each_weight_at_each_output(kind, weight, bias):
    shapes = {NAMES[weight]: (7, 5, 3, 2), "out": (1, 7, 11, 13), "i0": (1, 5, 22, 26)}
    for count in range(weight + 1, 10):
        node = helper.make_node(kind, NAMES[:count], ["out"])
        graph = graph_of(node, shapes=shapes)
        assert onnx_counts._multiply_adds(graph, node) == 11 * 13 * 7 * 5 * 3 * 2
        biased = bias is not None and count > bias
        assert onnx_counts._elementwise(graph, node) == (7 * 11 * 13 if biased else 0)
    node = helper.make_node(kind, [*NAMES[: weight + 1], *[""] * (8 - weight)], ["out"])
    assert onnx_counts._elementwise(graph_of(node, shapes=shapes), node) == 0  # no name, no bias
    two = graph_of(node, shapes=shapes | {"out": (2, 7, 11, 13)})
    assert onnx_counts._multiply_adds(two, node) == 2 * 11 * 13 * 7 * 5 * 3 * 2


def test_a_transposed_convolution_multiplies_each_weight_at_each_input():
    node = helper.make_node("ConvTranspose", NAMES[:3], ["out"])
    shapes = {"i0": (1, 5, 2, 3), "i1": (5, 7, 4, 4), "out": (1, 7, 4, 6)}
    graph = graph_of(node, shapes=shapes)
    assert onnx_counts._multiply_adds(graph, node) == 2 * 3 * 5 * 7 * 16
    assert onnx_counts._elementwise(graph, node) == 7 * 4 * 6
    plain = helper.make_node("ConvTranspose", NAMES[:2], ["out"])
    assert onnx_counts._elementwise(graph, plain) == 0


@pytest.mark.parametrize(
    ("kind", "bias"),
    [("MatMul", None), ("Gemm", 2), ("MatMulInteger", None), ("QLinearMatMul", None)],
)
def test_a_product_multiplies_along_its_inner_side(kind, bias):
    shapes = {"i0": (2, 3, 5), "out": (2, 3, 7)}
    node = helper.make_node(kind, NAMES[:4], ["out"])
    graph = graph_of(node, shapes=shapes)
    assert onnx_counts._multiply_adds(graph, node) == 2 * 3 * 7 * 5
    assert onnx_counts._elementwise(graph, node) == (2 * 3 * 7 if bias else 0)
    three = helper.make_node(kind, NAMES[:3], ["out"])
    assert onnx_counts._elementwise(graph, three) == (2 * 3 * 7 if bias else 0)
    for flipped, inner in ((1, 2), (0, 5)):
        node = helper.make_node(kind, NAMES[:2], ["out"], transA=flipped, transB=1)
        assert onnx_counts._multiply_adds(graph_of(node, shapes=shapes), node) == 2 * 3 * 7 * inner
        assert onnx_counts._elementwise(graph_of(node, shapes=shapes), node) == 0


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        ("Relu", 29), ("Clip", 29), ("Tanh", 29), ("Add", 29), ("Resize", 29), ("Upsample", 29),
        ("ReduceMean", 3), ("GlobalAveragePool", 3), ("MaxPool", 3),
        ("BatchNormalization", 6), ("InstanceNormalization", 6),
        ("Concat", 0), ("Reshape", 0), ("DepthToSpace", 0),
    ],
)  # fmt: skip
def test_elementwise_work_is_of_the_output_or_of_the_input(kind, work):
    node = helper.make_node(kind, NAMES[:2], ["out"])
    assert onnx_counts._elementwise(graph_of(node), node) == work
    assert onnx_counts._elementwise(graph_of(node, floats=False), node) == 0
    assert onnx_counts._multiply_adds(graph_of(node), node) == 0


def test_bytes_are_of_floats_and_of_convolutions():
    for kind, moved in (("Mul", 4 * (2 + 3 + 29)), ("Relu", 0), ("Clip", 0), ("Constant", 0)):
        node = helper.make_node(kind, NAMES[:2], ["out"])
        graph = graph_of(node)
        graph.element_bytes.clear()  # unknown: float32
        assert onnx_counts._bytes_moved(graph, node) == moved
    node = helper.make_node("Mul", ["i0", "", "i0"], ["out"])
    assert onnx_counts._bytes_moved(graph_of(node), node) == 3 + 29  # each tensor once
    assert onnx_counts._bytes_moved(graph_of(node, floats=False), node) == 0
    node = helper.make_node("ConvInteger", ["i0", "i1"], ["out"])
    assert onnx_counts._bytes_moved(graph_of(node, floats=False), node) == 2 + 3 + 29


def test_a_shape_that_is_not_known_is_named():
    node = helper.make_node("Relu", ["nowhere"], ["lost"], name="r")
    graph = graph_of(node)
    graph.floats.add("lost")
    with pytest.raises(ValueError, match="shape of 'lost' at Relu 'r' cannot be inferred"):
        onnx_counts._elementwise(graph, node)
