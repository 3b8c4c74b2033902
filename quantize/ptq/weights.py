"""Convolution weights in 8 bits: scales and rounding; properties of convolution nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto

CONVOLUTIONS = ("Conv", "ConvTranspose")
_INT8_MAX = 127


def is_depthwise(node: NodeProto) -> bool:
    """Whether a node is a depthwise (grouped) convolution."""
    groups = [a.i for a in node.attribute if a.name == "group"]
    return node.op_type in CONVOLUTIONS and bool(groups) and groups[0] > 1


def output_axis(node: NodeProto) -> int:
    """The weight's axis of output channels: 0, or 1 in a transposed convolution."""
    return 1 if node.op_type == "ConvTranspose" else 0


def weight_scale(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """float32 scales, ``max |w| / 127``: one per channel along ``axis``, or one if None."""
    if axis is None:
        largest = np.max(np.abs(weight))
    else:
        others = tuple(a for a in range(weight.ndim) if a != axis)
        largest = np.max(np.abs(weight), axis=others)
    return np.asarray(np.where(largest == 0, 1.0, largest) / _INT8_MAX, dtype=np.float32)


def quantised_weight(weight: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
    """int8: ``clip(round(w / scale), -127, 127)``; halves to even."""
    shape = [1] * weight.ndim
    if scale.ndim:
        shape[axis] = -1
    whole = np.rint(weight / scale.reshape(shape))
    return np.clip(whole, -_INT8_MAX, _INT8_MAX).astype(np.int8)
