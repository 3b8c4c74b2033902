"""The operations of exported ML Programs, as MIL defines them, in PyTorch.

MIL is Core ML's intermediate language; coremltools/converters/mil/mil/ops/defs (coremltools 9.0)
defines its operations, with formulas. An operation here takes its inputs by MIL's names: tensors,
numbers, tuples of numbers, strings; an optional input that is not given is absent or None. Tensors
have the program's own types (float16, float32, int8, ...); the caller casts the result to the type
that the program states (`interpreter`). Sums of products (convolutions, means) are accumulated in
float32 and rounded once; PyTorch computes the rest in float32 per element, and rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..optional import require
from .quantised_operations import (
    Inputs,
    affine_dequantize,
    blockwise_shift_scale,
    dequantize,
    quantize,
)
from .window_operations import UnknownOperationError, avg_pool, max_pool, pad

__all__ = ["Operation", "UnknownOperationError", "known_operations", "operation"]

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

Operation = Callable[[Inputs], "Tensor"]

_OPERATIONS: dict[str, Operation] = {
    "constexpr_affine_dequantize": affine_dequantize,
    "constexpr_blockwise_shift_scale": blockwise_shift_scale,
    "quantize": quantize,
    "dequantize": dequantize,
    "avg_pool": avg_pool,
    "max_pool": max_pool,
    "pad": pad,
}


def operation(kind: str) -> Operation:
    """The operation with that MIL name.

    Raises:
        UnknownOperationError: it is not implemented.
    """
    if kind not in _OPERATIONS:
        raise UnknownOperationError(
            f"operation {kind!r} cannot be emulated; known: {', '.join(sorted(_OPERATIONS))}. "
            "Run this package on a Mac, or add the operation to runtimes/run_coreml/operations.py"
        )
    return _OPERATIONS[kind]


def known_operations() -> tuple[str, ...]:
    """The names of all operations, sorted."""
    return tuple(sorted(_OPERATIONS))


def _register(*kinds: str) -> Callable[[Operation], Operation]:
    def add(function: Operation) -> Operation:
        for kind in kinds:
            _OPERATIONS[kind] = function
        return function

    return add


def _torch() -> ModuleType:
    return require("torch", extra="torch")


def _numbers(values: Any, default: Sequence[int]) -> list[int]:  # noqa: ANN401 - tuple or array
    return [int(v) for v in (default if values is None else values)]


@_register("conv")
def _conv(v: Inputs) -> Tensor:
    functional = _torch().nn.functional
    x, (top, bottom, left, right) = v["x"].float(), _padding(v)
    if (top, left) != (bottom, right):
        x, top, left = functional.pad(x, (left, right, top, bottom)), 0, 0
    return functional.conv2d(
        x,
        v["weight"].float(),
        _float(v.get("bias")),
        _numbers(v.get("strides"), (1, 1)),
        (top, left),
        _numbers(v.get("dilations"), (1, 1)),
        int(v.get("groups") or 1),
    )


@_register("conv_transpose")
def _conv_transpose(v: Inputs) -> Tensor:
    top, bottom, left, right = _padding(v)
    if (top, left) != (bottom, right):
        raise UnknownOperationError("conv_transpose with unequal padding cannot be emulated")
    result = _torch().nn.functional.conv_transpose2d(
        v["x"].float(),
        v["weight"].float(),
        _float(v.get("bias")),
        _numbers(v.get("strides"), (1, 1)),
        (top, left),
        0,
        int(v.get("groups") or 1),
        _numbers(v.get("dilations"), (1, 1)),
    )
    wanted = v.get("output_shape")
    if wanted is not None and tuple(_numbers(wanted, ())) != tuple(result.shape):
        raise UnknownOperationError("conv_transpose with a larger output cannot be emulated")
    return result


def _padding(v: Inputs) -> list[int]:
    """Top, bottom, left, right; MIL's ``custom`` takes them from ``pad``, ``valid`` has none."""
    kind = v.get("pad_type") or "valid"
    if kind == "custom":
        return _numbers(v.get("pad"), (0, 0, 0, 0))
    if kind == "valid":
        return [0, 0, 0, 0]
    raise UnknownOperationError(f"padding {kind!r} cannot be emulated; known: custom, valid")


def _float(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.float()


@_register("clip")
def _clip(v: Inputs) -> Tensor:
    return v["x"].clamp(float(v["alpha"]), float(v["beta"]))


@_register("relu")
def _relu(v: Inputs) -> Tensor:
    return v["x"].relu()


@_register("tanh")
def _tanh(v: Inputs) -> Tensor:
    return v["x"].tanh()


@_register("round")
def _round(v: Inputs) -> Tensor:
    return v["x"].round()  # halves to even, like MIL


@_register("sqrt")
def _sqrt(v: Inputs) -> Tensor:
    return v["x"].sqrt()


@_register("square")
def _square(v: Inputs) -> Tensor:
    return v["x"].square()


@_register("rsqrt")
def _rsqrt(v: Inputs) -> Tensor:
    return (v["x"] + float(v.get("epsilon") or 0.0)).rsqrt()


@_register("identity")
def _identity(v: Inputs) -> Tensor:
    return v["x"]


@_register("cast")
def _cast(v: Inputs) -> Tensor:
    torch = _torch()
    kinds = {
        "fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32, "int8": torch.int8,
        "uint8": torch.uint8, "bool": torch.bool,
    }  # fmt: skip
    if v["dtype"] not in kinds:
        raise UnknownOperationError(f"a cast to {v['dtype']!r} cannot be emulated")
    return v["x"].to(kinds[v["dtype"]])


@_register("add")
def _add(v: Inputs) -> Tensor:
    return v["x"] + v["y"]


@_register("sub")
def _sub(v: Inputs) -> Tensor:
    return v["x"] - v["y"]


@_register("mul")
def _mul(v: Inputs) -> Tensor:
    return v["x"] * v["y"]


@_register("real_div")
def _real_div(v: Inputs) -> Tensor:
    return v["x"] / v["y"]


@_register("maximum")
def _maximum(v: Inputs) -> Tensor:
    return _torch().maximum(v["x"], v["y"])


@_register("minimum")
def _minimum(v: Inputs) -> Tensor:
    return _torch().minimum(v["x"], v["y"])


@_register("concat")
def _concat(v: Inputs) -> Tensor:
    if v.get("interleave"):
        raise UnknownOperationError("an interleaving concat cannot be emulated")
    return _torch().cat(list(v["values"]), dim=int(v["axis"]))


@_register("upsample_nearest_neighbor")
def _upsample(v: Inputs) -> Tensor:
    factors = [float(v.get(f"scale_factor_{side}") or 1) for side in ("height", "width")]
    if any(factor != int(factor) for factor in factors):
        raise UnknownOperationError(f"enlarging by {factors} cannot be emulated: not whole")
    height, width = (int(factor) for factor in factors)
    return v["x"].repeat_interleave(height, dim=-2).repeat_interleave(width, dim=-1)


@_register("pixel_shuffle")
def _pixel_shuffle(v: Inputs) -> Tensor:
    return _torch().nn.functional.pixel_shuffle(v["x"], int(v["upscale_factor"]))


@_register("slice_by_index")
def _slice_by_index(v: Inputs) -> Tensor:
    rank = v["x"].ndim
    if any(v.get("squeeze_mask") or ()):
        raise UnknownOperationError("slice_by_index that drops an axis cannot be emulated")
    first = v.get("begin_mask") or (False,) * rank
    last = v.get("end_mask") or (False,) * rank
    steps = _numbers(v.get("stride"), (1,) * rank)
    if min(steps) < 1:
        raise UnknownOperationError("slice_by_index backwards cannot be emulated")
    parts = [
        slice(None if first[i] else int(v["begin"][i]), None if last[i] else int(v["end"][i]), step)
        for i, step in enumerate(steps)
    ]
    return v["x"][tuple(parts)]


@_register("reduce_mean")
def _reduce_mean(v: Inputs) -> Tensor:
    axes = _numbers(v.get("axes"), range(v["x"].ndim))
    return v["x"].float().mean(dim=axes, keepdim=bool(v.get("keep_dims")))


@_register("instance_norm")
def _instance_norm(v: Inputs) -> Tensor:
    return _torch().nn.functional.instance_norm(
        v["x"].float(),
        weight=_float(v.get("gamma")),
        bias=_float(v.get("beta")),
        eps=float(v["epsilon"]),
    )
