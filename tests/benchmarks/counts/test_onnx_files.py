"""ONNX files as a whole: the size asked, constants, and what cannot be counted."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from edgedeblur.benchmarks.counts import onnx_counts
from edgedeblur.benchmarks.counts.onnx_counts import count_onnx
from onnx import TensorProto, helper, numpy_helper

from ..support import write_graph


def convolution(tmp_path, shape, kind=np.float32, first="x"):
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), kind), "w")
    constant = numpy_helper.from_array(np.ones((2, 1, 1), kind))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=constant),
        helper.make_node("Conv", [first, "w"], ["y"]),
        helper.make_node("Mul", ["y", "c"], ["z"]),
    ]  # fmt: skip
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, [weight], shape, "x", "z")
    return path


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ([1, 3, 4, 6], (4, 6)), (["n", 3, "h", "w_"], (4, 6)), ([1, 3, 4, "w_"], (4, 8)),
        ([1, 3, "h", 6], (2, 6)), (["n", 3, "h", "w_"], (7, 5)),
        ([1, 3, 300, 400], (300, 400)),
    ],
)  # fmt: skip
def test_a_graph_is_counted_at_the_size_asked(tmp_path, shape, size):
    counts = count_onnx(convolution(tmp_path, shape), size)
    pixels = math.prod(size)
    assert counts.macs == 6 * pixels
    assert counts.macs_elementwise == 6 * pixels + 2 * pixels  # the product with a constant
    assert counts.params == 6 + 2
    assert counts.bytes_moved == 4 * (3 * pixels + 6 + 2 * pixels) + 4 * (2 + 4 * pixels)
    assert counts.macs_paper is None


@pytest.mark.parametrize(
    ("shape", "side"),
    [
        ([2, 3, 4, 6], "batch is fixed at 2, it cannot be 1"),
        ([1, 3, 5, 6], "height is fixed at 5, it cannot be 4"),
        ([1, 3, 3, 6], "height is fixed at 3, it cannot be 4"),
        ([1, 3, 4, 7], "width is fixed at 7, it cannot be 6"),
        ([1, 3, 4, 5], "width is fixed at 5, it cannot be 6"),
    ],
)
def test_another_fixed_size_is_refused(tmp_path, shape, side):
    with pytest.raises(ValueError, match=side):
        count_onnx(convolution(tmp_path, shape), (4, 6))


@pytest.mark.parametrize("shape", [[1, 3, 4], [1, 3, 4, 6, 1]])
def test_one_picture_is_expected(tmp_path, shape):
    with pytest.raises(ValueError, match="expected one 4-D input"):
        count_onnx(convolution(tmp_path, shape), (4, 6))


def test_weights_among_the_inputs_are_no_pictures(tmp_path):
    path = convolution(tmp_path, [1, 3, 4, 6])
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3, 1, 1]))
    onnx.save(model, path)
    assert count_onnx(path, (4, 6)).macs == 6 * 24
    model.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, [1, 3, 4, 6]))
    onnx.save(model, path)
    with pytest.raises(ValueError, match="expected one 4-D input"):
        count_onnx(path, (4, 6))
    del model.graph.input[:]
    onnx.save(model, path)
    with pytest.raises(ValueError, match="expected one 4-D input"):
        count_onnx(path, (4, 6))


@pytest.mark.parametrize(
    ("kind", "width"), [(np.float32, 4), (np.float16, 2), (np.float64, 8), (np.int8, 1)]
)
def test_widths_are_those_of_the_types(kind, width):
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    assert onnx_counts._element_bytes(element, onnx) == width
    assert onnx_counts._element_bytes(0, onnx) == 0


def test_shapes_with_free_names_are_forgotten(tmp_path):
    path = convolution(tmp_path, ["n", 3, "h", "w_"])
    model = onnx.load(path)
    wrong = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 9, 9])
    model.graph.value_info.append(wrong)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2, 9, 9])
    )
    onnx.save(model, path)
    assert count_onnx(path, (4, 6)).macs == 6 * 24


def test_a_graph_with_q_dq_pairs_does_not_tell_its_bytes(tmp_path):
    scale = numpy_helper.from_array(np.float32(0.5), "s")
    zero = numpy_helper.from_array(np.int8(0), "o")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "o"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "o"], ["z"]),
    ]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, [scale, zero], [1, 3, 4, 6], "x", "z")
    counts = count_onnx(path, (4, 6))
    assert (counts.params, counts.macs, counts.bytes_moved) == (0, 0, None)


def test_control_flow_is_refused(tmp_path):
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "b", [], [value])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    path = tmp_path / "a.onnx"
    write_graph(
        path, [node], [numpy_helper.from_array(np.array(True), "c")], [1, 3, 4, 6], "x", "y"
    )
    with pytest.raises(ValueError, match=r"holds control flow \(If\)"):
        count_onnx(path, (4, 6))


def test_shapes_are_followed_through_arithmetic_on_shapes(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Mul", ["s", "twice"], ["t"]),
        helper.make_node("Resize", ["x", "", "", "t"], ["r"], mode="nearest"),
    ]
    path = tmp_path / "a.onnx"
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2]), "twice")
    write_graph(path, nodes, [twice], ["n", 3, "h", "w_"], "x", "r")
    assert count_onnx(path, (4, 6)).macs_elementwise == 3 * 8 * 12


def test_a_size_that_depends_on_the_picture_is_refused(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Cast", ["places"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, [], [1, 3, 4, 6], "x", "y")
    with pytest.raises(ValueError, match="cannot be inferred"):
        count_onnx(path, (4, 6))


def test_constants_of_other_kinds_keep_their_shapes(tmp_path):
    fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        helper.make_node("Constant", [], ["list"], value_floats=[1.0] * 6),
        helper.make_node("Mul", ["x", "list"], ["a"]),
        helper.make_node("Constant", [], ["sides"], value_ints=[3, 4, 6]),
        helper.make_node("ConstantOfShape", ["sides"], ["full"], value=fill),
        helper.make_node("Add", ["a", "full"], ["y"]),
    ]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, [], [1, 3, 4, 6], "x", "y")
    counts = count_onnx(path, (4, 6))
    assert counts.macs_elementwise == 2 * 72
    # Each reads two tensors and writes one; the filled one is written from three integers.
    assert counts.bytes_moved == 4 * (72 + 6 + 72) + 4 * (72 + 72 + 72) + 8 * 3 + 4 * 72
