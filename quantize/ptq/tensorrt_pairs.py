"""Q/DQ pairs for TensorRT's fusions: on convolution inputs, and on skip connections.

TensorRT turns a convolution into an int8 one, with its ReLU and a following addition inside, if
pairs stand before its input and its weights and none stands between it and what is fused ("Q/DQ
Placement Recommendations" in NVIDIA's TensorRT documentation). onnxruntime's quantiser puts pairs
after every operation instead, which CPU int8 kernels need; each of them rounds once more.
Rounding is symmetric, to -127..127 without a zero point, the only form that TensorRT supports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.optional import require
from .weights import CONVOLUTIONS, output_axis, quantised_weight, weight_scale

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from .observers import Range

_LEVELS = 127


def with_fused_pairs(
    model: ModelProto, ranges: Mapping[str, Range], kept: set[str], *, per_channel: bool
) -> ModelProto:
    """Insert the Q/DQ pairs; changes ``model``.

    Args:
        model: Float32, with named nodes.
        ranges: Range of every tensor that gets a pair.
        kept: Names of nodes that stay in float.
        per_channel: One weight scale per output channel, else one per tensor.
    """
    inserter = _PairInserter(model, ranges, per_channel=per_channel)
    producers = {name: node for node in model.graph.node for name in node.output}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.name not in kept:
            if node.op_type in CONVOLUTIONS:
                node.input[0] = inserter.activation(node.input[0])
                node.input[1] = inserter.weight(node)
            elif node.op_type == "Add" and (skip := _skip_input(node, producers, kept)) is not None:
                node.input[skip] = inserter.activation(node.input[skip])
        model.graph.node.append(node)
    return model


def _skip_input(node: NodeProto, producers: Mapping[str, NodeProto], kept: set[str]) -> int | None:
    """Index of an addition's skip input: the other one is a convolution's output."""
    for index in (0, 1):
        producer = producers.get(node.input[index])
        if producer is not None and producer.op_type in CONVOLUTIONS and producer.name not in kept:
            return 1 - index
    return None


class _PairInserter:
    """Appends Q/DQ pairs to the graph, one per tensor even with several readers."""

    def __init__(
        self, model: ModelProto, ranges: Mapping[str, Range], *, per_channel: bool
    ) -> None:
        self._onnx = require("onnx", extra="export-onnx")
        self._graph = model.graph
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._ranges = ranges
        self._per_channel = per_channel
        self._behind_pair: dict[str, str] = {}

    def activation(self, name: str) -> str:
        """Name of the tensor after its Q/DQ pair."""
        if name not in self._behind_pair:
            low, high = self._ranges[name]
            reach = max(abs(low), abs(high)) or 1.0
            scale, zero = self._constants(name, np.asarray(reach / _LEVELS, np.float32))
            quantised = f"{name}/q"
            self._add_node("QuantizeLinear", [name, scale, zero], quantised)
            self._add_node("DequantizeLinear", [quantised, scale, zero], f"{name}/dq")
            self._behind_pair[name] = f"{name}/dq"
        return self._behind_pair[name]

    def weight(self, node: NodeProto) -> str:
        """Name of the weight after its DequantizeLinear; removes the float weight."""
        name, axis = node.input[1], output_axis(node)
        whole = self._onnx.numpy_helper.to_array(self._initializers[name])
        scale = weight_scale(whole, axis if self._per_channel else None)
        self._graph.initializer.remove(self._initializers[name])
        self._add_constant(quantised_weight(whole, scale, axis), f"{name}/q")
        scales, zeros = self._constants(name, scale)
        extra = {"axis": axis} if self._per_channel else {}
        # Its output keeps the weight's name, from which layers get their names.
        self._add_node("DequantizeLinear", [f"{name}/q", scales, zeros], name, **extra)
        return name

    def _constants(self, name: str, scale: np.ndarray) -> tuple[str, str]:
        self._add_constant(scale, f"{name}/scale")
        self._add_constant(np.zeros(scale.shape, np.int8), f"{name}/zero")
        return f"{name}/scale", f"{name}/zero"

    def _add_constant(self, value: np.ndarray, name: str) -> None:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))

    def _add_node(self, kind: str, inputs: list[str], output: str, **attributes: int) -> None:
        make_node = self._onnx.helper.make_node
        self._graph.node.append(make_node(kind, inputs, [output], **attributes))
