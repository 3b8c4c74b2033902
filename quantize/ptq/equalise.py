"""Cross-layer equalisation: balances the weight ranges of consecutive layers per channel."""

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
    """An equivalent model with balanced weight ranges, and the number of pairs scaled.

    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
    2019, section 4.1: relu(s x) = s relu(x) for s > 0, so channel i of one layer may be divided
    by s_i and the next layer's input channel i multiplied by it, s_i = sqrt(r1_i / r2_i) where r
    are the largest weights. A ReLU6 counts as a ReLU only where it clipped nothing in
    calibration, so that outputs on those pictures do not change.

    Args:
        model: Float32; not modified.
        stats: From `ranges.collect` on that model; invalid for the result.
    """
    numpy_helper = require("onnx", extra="export-onnx").numpy_helper
    model = copy.deepcopy(model)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = _pairs(model, stats)
    for first, activation, second in pairs:
        before = numpy_helper.to_array(initializers[first.input[1]])
        after = numpy_helper.to_array(initializers[second.input[1]])
        depthwise = after.shape[1] == 1
        largest = np.max(np.abs(before), axis=(1, 2, 3))
        received = np.max(np.abs(after), axis=(1, 2, 3) if depthwise else (0, 2, 3))
        usable = (largest > 0) & (received > 0)
        ratio = largest / np.where(usable, received, 1.0)
        scale = np.where(usable, np.sqrt(ratio), 1.0).astype(np.float32)
        scale_4d = scale.reshape(-1, 1, 1, 1)
        _replace(initializers[first.input[1]], before / scale_4d)
        if len(first.input) > 2 and first.input[2]:
            bias = initializers[first.input[2]]
            _replace(bias, numpy_helper.to_array(bias) / scale)
        _replace(
            initializers[second.input[1]], after * (scale_4d if depthwise else scale[:, None, None])
        )
        if activation.op_type == "Clip":
            activation.op_type = "Relu"
            del activation.input[1:]
    return model, len(pairs)


def _pairs(model: ModelProto, stats: Mapping[str, TensorStats]) -> list[Pair]:
    """Chains of convolution, ReLU or inactive ReLU6, convolution, with no other readers."""
    readers_of: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers_of.setdefault(name, []).append(node)
    shared = {name for name, readers in readers_of.items() if len(readers) > 1}
    pairs: list[Pair] = []
    for first in model.graph.node:
        activation = _only_reader(readers_of, first.output[0])
        if (
            first.op_type != "Conv"
            or activation is None
            or activation.op_type not in ("Relu", "Clip")
        ):
            continue
        second = _only_reader(readers_of, activation.output[0])
        if second is None or second.op_type != "Conv" or shared & {first.input[1], second.input[1]}:
            continue
        if activation.op_type == "Clip" and stats[first.output[0]].high > _clip_maximum(
            model, activation
        ):
            continue
        pairs.append((first, activation, second))
    return pairs


def _only_reader(readers_of: Mapping[str, list[NodeProto]], name: str) -> NodeProto | None:
    readers = readers_of.get(name, [])
    return readers[0] if len(readers) == 1 else None


def _clip_maximum(model: ModelProto, clip: NodeProto) -> float:
    numpy_helper = require("onnx", extra="export-onnx").numpy_helper
    for tensor in model.graph.initializer:
        if len(clip.input) > 2 and tensor.name == clip.input[2]:
            return float(numpy_helper.to_array(tensor))
    return -np.inf  # unknown: skip it


def _replace(tensor: object, value: np.ndarray) -> None:
    numpy_helper = require("onnx", extra="export-onnx").numpy_helper
    tensor.CopyFrom(  # pyright: ignore[reportAttributeAccessIssue]
        numpy_helper.from_array(
            value.astype(np.float32),
            tensor.name,  # pyright: ignore[reportAttributeAccessIssue]
        )
    )
