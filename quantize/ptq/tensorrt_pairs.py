"""Q/DQ pairs where TensorRT fuses: on what convolutions read, and on skips that meet one.

TensorRT turns a convolution into an int8 one, with its ReLU and a following addition inside, if
pairs stand before its input and its weights and none stands between it and what is fused ("Q/DQ
Placement Recommendations" in NVIDIA's TensorRT documentation). onnxruntime's quantiser puts pairs
after every operation instead, which int8 kernels of a CPU want; each of them rounds once more.
Rounding is symmetric, to -127..127 without a zero point, the only kind that TensorRT has.
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
    """Put the pairs in; changes ``model``.

    Args:
        model: Float32, with named nodes.
        ranges: Of every tensor that gets a pair.
        kept: Names of nodes that stay in float and so read float.
        per_channel: Weights with a scale per output channel, else one for all.
    """
    work = _Pairs(model, ranges, per_channel=per_channel)
    makers = {name: node for node in model.graph.node for name in node.output}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.name not in kept:
            if node.op_type in CONVOLUTIONS:
                node.input[0] = work.activation(node.input[0])
                node.input[1] = work.weight(node)
            elif node.op_type == "Add" and (skip := _skip(node, makers, kept)) is not None:
                node.input[skip] = work.activation(node.input[skip])
        model.graph.node.append(node)
    return model


def _skip(node: NodeProto, makers: Mapping[str, NodeProto], kept: set[str]) -> int | None:
    """Which input of an addition is the skip: the one beside a convolution's own output."""
    for index in (0, 1):
        maker = makers.get(node.input[index])
        if maker is not None and maker.op_type in CONVOLUTIONS and maker.name not in kept:
            return 1 - index
    return None


class _Pairs:
    """Appends pairs to the graph's nodes, one per tensor however many read it."""

    def __init__(
        self, model: ModelProto, ranges: Mapping[str, Range], *, per_channel: bool
    ) -> None:
        self._onnx = require("onnx", extra="onnx")
        self._graph = model.graph
        self._held = {tensor.name: tensor for tensor in model.graph.initializer}
        self._ranges = ranges
        self._per_channel = per_channel
        self._done: dict[str, str] = {}

    def activation(self, name: str) -> str:
        """The tensor's name behind its pair."""
        if name not in self._done:
            low, high = self._ranges[name]
            reach = max(abs(low), abs(high)) or 1.0
            scale, zero = self._constants(name, np.asarray(reach / _LEVELS, np.float32))
            quantised = f"{name}/q"
            self._add("QuantizeLinear", [name, scale, zero], quantised)
            self._add("DequantizeLinear", [quantised, scale, zero], f"{name}/dq")
            self._done[name] = f"{name}/dq"
        return self._done[name]

    def weight(self, node: NodeProto) -> str:
        """The weight's name behind its DequantizeLinear; the float weight goes."""
        name, axis = node.input[1], output_axis(node)
        whole = self._onnx.numpy_helper.to_array(self._held[name])
        scale = weight_scale(whole, axis if self._per_channel else None)
        self._graph.initializer.remove(self._held[name])
        self._hold(quantised_weight(whole, scale, axis), f"{name}/q")
        scales, zeros = self._constants(name, scale)
        extra = {"axis": axis} if self._per_channel else {}
        # Its output keeps the weight's name, which layers are called after.
        self._add("DequantizeLinear", [f"{name}/q", scales, zeros], name, **extra)
        return name

    def _constants(self, name: str, scale: np.ndarray) -> tuple[str, str]:
        self._hold(scale, f"{name}/scale")
        self._hold(np.zeros(scale.shape, np.int8), f"{name}/zero")
        return f"{name}/scale", f"{name}/zero"

    def _hold(self, value: np.ndarray, name: str) -> None:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> None:
        make_node = self._onnx.helper.make_node
        self._graph.node.append(make_node(kind, inputs, [output], **attributes))
