"""The quantising operations of ML Programs, as MIL defines them, in PyTorch; see `operations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..optional import require

if TYPE_CHECKING:
    from torch import Tensor

Inputs = Mapping[str, Any]


def affine_dequantize(v: Inputs) -> Tensor:
    """``constexpr_affine_dequantize``: one scale and zero point per tensor, or per channel."""
    data, axis = v["quantized_data"], int(v["axis"])
    scale, zero = (
        _broadcast_along(v[name], data.ndim, axis).float() for name in ("scale", "zero_point")
    )
    return (scale * (data.float() - zero)).to(v["scale"].dtype)


def blockwise_shift_scale(v: Inputs) -> Tensor:
    """``constexpr_blockwise_shift_scale``: scale and offset per block of each axis."""
    data = v["data"]

    def spread(blocks: Tensor) -> Tensor:
        for axis, side in enumerate(data.shape):
            blocks = blocks.repeat_interleave(side // blocks.shape[axis], dim=axis)
        return blocks.float()

    shift = 0.0 if v.get("offset") is None else spread(v["offset"])
    return (spread(v["scale"]) * (data.float() - shift)).to(v["scale"].dtype)


def quantize(v: Inputs) -> Tensor:
    """``quantize``: to int8 or uint8, rounded half to even and clamped."""
    low, high = {"int8": (-128, 127), "uint8": (0, 255)}[v["output_dtype"]]
    scale, zero = _scale_and_zero(v)
    whole = (v["input"].float() / scale).round() + zero
    return whole.clamp(low, high).to(getattr(require("torch", extra="torch"), v["output_dtype"]))


def dequantize(v: Inputs) -> Tensor:
    """``dequantize``: back to the type of ``scale``."""
    scale, zero = _scale_and_zero(v)
    return (scale * (v["input"].float() - zero)).to(v["scale"].dtype)


def _scale_and_zero(v: Inputs) -> tuple[Tensor, Tensor | float]:
    """Both in float32, shaped to be broadcast over the input."""
    rank, axis = v["input"].ndim, v.get("axis")
    zero = v.get("zero_point")
    scale = _broadcast_along(v["scale"], rank, axis).float()
    return scale, 0.0 if zero is None else _broadcast_along(zero, rank, axis).float()


def _broadcast_along(values: Tensor, rank: int, axis: int | None) -> Tensor:
    """A scalar as it is; a vector shaped to lie along an axis."""
    if values.ndim == 0 or axis is None:
        return values
    shape = [1] * rank
    shape[int(axis)] = -1
    return values.reshape(shape)
