"""Cross-layer equalisation: channels share their weight ranges with the layer that follows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.optional import require
from .ranges import TensorStats

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Pair = tuple["NodeProto", "NodeProto", "NodeProto"]


def equalise(model: ModelProto, stats: Mapping[str, TensorStats]) -> tuple[ModelProto, int]:
    """A model that computes the same with evener weights, and how many pairs were scaled.

    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
    2019, section 4.1: relu(s x) = s relu(x) for s > 0, so channel i of one layer may be divided
    by s_i and the next layer's input channel i multiplied by it, s_i = sqrt(r1_i / r2_i) where r
    are the largest weights. A ReLU6 is taken for a ReLU only where calibration never saw it cut,
    so that the pictures' outputs stay what they were.

    Args:
        model: Float32; stays as it is.
        stats: From `ranges.collect` on it; collect again afterwards.
    """
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    model = copy.deepcopy(model)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    found = _pairs(model, stats)
    for first, middle, second in found:
        before = numpy_helper.to_array(held[first.input[1]])
        after = numpy_helper.to_array(held[second.input[1]])
        depthwise = after.shape[1] == 1
        largest = np.max(np.abs(before), axis=(1, 2, 3))
        received = np.max(np.abs(after), axis=(1, 2, 3) if depthwise else (0, 2, 3))
        usable = (largest > 0) & (received > 0)
        ratio = largest / np.where(usable, received, 1.0)
        scale = np.where(usable, np.sqrt(ratio), 1.0).astype(np.float32)
        spread = scale.reshape(-1, 1, 1, 1)
        _replace(held[first.input[1]], before / spread)
        if len(first.input) > 2 and first.input[2]:
            bias = held[first.input[2]]
            _replace(bias, numpy_helper.to_array(bias) / scale)
        _replace(held[second.input[1]], after * (spread if depthwise else scale[:, None, None]))
        if middle.op_type == "Clip":
            middle.op_type = "Relu"
            del middle.input[1:]
    return model, len(found)


def _pairs(model: ModelProto, stats: Mapping[str, TensorStats]) -> list[Pair]:
    """Convolution, ReLU or idle ReLU6, convolution, with nothing else listening in between."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    shared = {name for name, listeners in users.items() if len(listeners) > 1}
    pairs: list[Pair] = []
    for first in model.graph.node:
        middle = _only(users, first.output[0])
        if first.op_type != "Conv" or middle is None or middle.op_type not in ("Relu", "Clip"):
            continue
        second = _only(users, middle.output[0])
        if second is None or second.op_type != "Conv" or shared & {first.input[1], second.input[1]}:
            continue
        if middle.op_type == "Clip" and stats[first.output[0]].high > _ceiling(model, middle):
            continue
        pairs.append((first, middle, second))
    return pairs


def _only(users: Mapping[str, list[NodeProto]], name: str) -> NodeProto | None:
    listeners = users.get(name, [])
    return listeners[0] if len(listeners) == 1 else None


def _ceiling(model: ModelProto, clip: NodeProto) -> float:
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    for tensor in model.graph.initializer:
        if len(clip.input) > 2 and tensor.name == clip.input[2]:
            return float(numpy_helper.to_array(tensor))
    return -np.inf  # unknown: leave it alone


def _replace(tensor: object, value: np.ndarray) -> None:
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    tensor.CopyFrom(  # pyright: ignore[reportAttributeAccessIssue]
        numpy_helper.from_array(
            value.astype(np.float32),
            tensor.name,  # pyright: ignore[reportAttributeAccessIssue]
        )
    )
