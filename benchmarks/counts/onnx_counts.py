"""Counts parameters and operations of an ONNX graph from its nodes and inferred shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ...runtimes.optional import require
from .counts import Counts

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Shape = tuple[int, ...]

# Operator -> positions of (data, weight, bias) among its inputs; None: it has no such input.
_CONVOLUTIONS: dict[str, tuple[int, int, int | None]] = {
    "Conv": (0, 1, 2),
    "ConvTranspose": (0, 1, 2),
    "FusedConv": (0, 1, 2),
    "QLinearConv": (0, 3, 8),
    "ConvInteger": (0, 1, None),
}
_PRODUCTS: dict[str, tuple[int, int, int | None]] = {
    "MatMul": (0, 1, None),
    "Gemm": (0, 1, 2),
    "MatMulInteger": (0, 1, None),
    "QLinearMatMul": (0, 3, None),
}
_NORMS = frozenset(
    {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization"}
)
_PER_OUTPUT = frozenset(
    {"Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Gelu", "Sigmoid", "HardSwish", "Tanh"}
    | {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg"}
    | {"Resize", "Upsample"}
)
_PER_INPUT = frozenset(
    {"ReduceMean", "ReduceSum", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceSumSquare"}
)
# Every runtime measured here applies these to the tensor that the node before them writes.
_FUSED = frozenset({"Relu", "Clip"})
# Inputs that hold settings, not weights: (operator, positions).
_SETTINGS = {
    "Resize": {1, 2, 3}, "Upsample": {1}, "Clip": {1, 2}, "Pad": {1, 2, 3}, "Reshape": {1},
    "QuantizeLinear": {1, 2}, "DequantizeLinear": {1, 2}, "BatchNormalization": {3, 4},
    "QLinearConv": {1, 2, 4, 5, 6, 7}, "ConvInteger": {2, 3}, "Pow": {1},
    "QLinearMatMul": {1, 2, 4, 5, 6, 7}, "MatMulInteger": {2, 3},
}  # fmt: skip
# Where integers are weights: their scale turns them into numbers.
_INTEGER_WEIGHTS = {
    ("DequantizeLinear", 0), ("QLinearConv", 3), ("QLinearConv", 8), ("ConvInteger", 1),
    ("QLinearMatMul", 3), ("MatMulInteger", 1),
}  # fmt: skip


@dataclass
class _Graph:
    """Nodes, and what is known of each tensor, by name."""

    path: Path
    nodes: list[NodeProto]
    shapes: dict[str, Shape]
    floats: set[str]
    element_bytes: dict[str, int] = field(default_factory=dict[str, int])  # bytes of one element
    constants: dict[str, Shape] = field(default_factory=dict[str, Shape])

    def shape(self, name: str, node: NodeProto) -> Shape:
        """Shape of a tensor; ValueError if it is not known at the bound size."""
        if name not in self.shapes:
            raise ValueError(
                f"{self.path}: the shape of {name!r} at {node.op_type} {node.name!r} cannot be "
                "inferred, so its operations cannot be counted; export with a fixed size"
            )
        return self.shapes[name]


def count_onnx(path: Path, size: tuple[int, int]) -> Counts:
    """Count an ONNX file for batch 1 at ``size`` (height, width).

    Raises:
        ValueError: another fixed size, control flow in the graph, or shapes that stay unknown.
        MissingDependencyError: the ``onnx`` package is not installed.
    """
    graph = _load(path, size)
    macs = sum(_multiply_adds(graph, node) for node in graph.nodes)
    elementwise = sum(_elementwise(graph, node) for node in graph.nodes)
    # Q/DQ pairs are hints to the runtime: the graph does not say which bytes really move.
    is_quantised = any(node.op_type == "DequantizeLinear" for node in graph.nodes)
    return Counts(
        params=_params(graph),
        macs=macs,
        macs_elementwise=macs + elementwise,
        bytes_moved=None
        if is_quantised
        else sum(_bytes_moved(graph, node) for node in graph.nodes),
    )


def _load(path: Path, size: tuple[int, int]) -> _Graph:
    onnx = require("onnx", extra="bench")
    require("onnx.inliner", extra="bench")
    try:
        model = onnx.load(path)
        model = onnx.inliner.inline_local_functions(model)
        _set_input_shape(model.graph, size, path)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ValueError(f"{path}: not a valid ONNX graph ({error}); export it again") from error
    for node in model.graph.node:
        if any(
            a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
            for a in node.attribute
        ):
            raise ValueError(
                f"{path}: holds control flow ({node.op_type}), whose work depends on the data "
                "and cannot be counted; export it again without it"
            )
    return _graph_from(model.graph, path, onnx)


def _set_input_shape(graph: GraphProto, size: tuple[int, int], path: Path) -> None:
    """Set the input to batch 1 and the given size; drop shapes with symbolic sides."""
    held = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    dims = inputs[0].type.tensor_type.shape.dim if len(inputs) == 1 else []
    if len(dims) != 4:
        raise ValueError(f"{path}: expected one 4-D input (NCHW), found {len(inputs)} inputs")
    for axis, wanted in ((0, 1), (2, size[0]), (3, size[1])):
        fixed = dims[axis].dim_value
        if fixed and fixed != wanted:
            side = ("batch", "channels", "height", "width")[axis]
            raise ValueError(f"{path}: its {side} is fixed at {fixed}, it cannot be {wanted}")
        dims[axis].dim_value = wanted
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _graph_from(graph: GraphProto, path: Path, onnx: ModuleType) -> _Graph:
    floating = {
        onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE,
    }  # fmt: skip
    found = _Graph(path, list(graph.node), {}, set())
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            found.shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
        if tensor.elem_type in floating:
            found.floats.add(value.name)
        found.element_bytes[value.name] = _element_bytes(tensor.elem_type, onnx)
    stored = [(initializer.name, initializer) for initializer in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            stored += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
    for name, tensor in stored:
        found.shapes[name] = found.constants[name] = tuple(tensor.dims)
        if tensor.data_type in floating:
            found.floats.add(name)
        found.element_bytes[name] = _element_bytes(tensor.data_type, onnx)
    return found


def _element_bytes(kind: int, onnx: ModuleType) -> int:
    return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize) if kind else 0


def _multiply_adds(graph: _Graph, node: NodeProto) -> int:
    if node.op_type in _CONVOLUTIONS:
        data, weight, _ = _CONVOLUTIONS[node.op_type]
        # Each weight meets every position of the output, or of the input if transposed.
        transposed = node.op_type == "ConvTranspose"
        at = graph.shape(node.input[data] if transposed else node.output[0], node)
        return at[0] * math.prod(at[2:]) * math.prod(graph.shape(node.input[weight], node))
    if node.op_type in _PRODUCTS:
        first = graph.shape(node.input[_PRODUCTS[node.op_type][0]], node)
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        inner = first[0] if transposed else first[-1]
        return math.prod(graph.shape(node.output[0], node)) * inner
    return 0


def _elementwise(graph: _Graph, node: NodeProto) -> int:
    def count(name: str) -> int:
        return math.prod(graph.shape(name, node))

    places = _CONVOLUTIONS.get(node.op_type) or _PRODUCTS.get(node.op_type)
    if places is not None:
        bias = places[2]
        return count(node.output[0]) if bias is not None and _has(node, bias) else 0
    # Arithmetic on shapes (integers) is no work on pictures.
    if not any(name in graph.floats for name in node.output):
        return 0
    if node.op_type in _NORMS:
        return 2 * count(node.input[0])
    if node.op_type in _PER_INPUT:
        return count(node.input[0])
    return count(node.output[0]) if node.op_type in _PER_OUTPUT else 0


def _bytes_moved(graph: _Graph, node: NodeProto) -> int:
    """What a node reads and writes if nothing stays in a cache; see `counts`."""
    if node.op_type in _FUSED or node.op_type == "Constant":
        return 0
    if not any(name in graph.floats for name in node.output) and node.op_type not in _CONVOLUTIONS:
        return 0
    settings = _SETTINGS.get(node.op_type, set[int]())
    read = {name for position, name in enumerate(node.input) if name and position not in settings}
    return sum(
        math.prod(graph.shape(name, node)) * graph.element_bytes.get(name, 4)
        for name in (*read, node.output[0])
    )


def _has(node: NodeProto, position: int) -> bool:
    return len(node.input) > position and bool(node.input[position])


def _params(graph: _Graph) -> int:
    """Elements of all stored weights, each once; settings, scales and statistics left out."""
    weights: set[str] = set()
    for node in graph.nodes:
        settings = _SETTINGS.get(node.op_type, set[int]())
        for position, name in enumerate(node.input):
            shape = graph.constants.get(name)
            # A lone number is a constant of the arithmetic (an epsilon, a limit), not a weight.
            if shape is None or math.prod(shape) <= 1 or position in settings:
                continue
            if name in graph.floats or (node.op_type, position) in _INTEGER_WEIGHTS:
                weights.add(name)
    return sum(math.prod(graph.constants[name]) for name in weights)
