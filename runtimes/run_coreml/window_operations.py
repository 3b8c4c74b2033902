"""MIL operations on windows without weights: padding, and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..optional import require
from .quantised_operations import Inputs

if TYPE_CHECKING:
    from torch import Tensor


class UnknownOperationError(ValueError):
    """The program holds an operation, or a variant of one, that cannot be emulated."""


def pad(v: Inputs) -> Tensor:
    """``pad``: before and after each of the last axes, constant, reflected or repeated."""
    amounts = [int(n) for n in v["pad"]]
    kind = str(v.get("mode") or "constant")
    torch_kind = {"constant": "constant", "reflect": "reflect", "replicate": "replicate"}
    if kind not in torch_kind:
        raise UnknownOperationError(f"padding by {kind!r} cannot be emulated")
    pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)]
    while len(pairs) > 2 and not any(pairs[0]):  # torch reflects the last axes alone
        pairs.pop(0)
    flat = [n for pair in reversed(pairs) for n in pair]
    functional = require("torch", extra="torch").nn.functional
    if kind == "constant":
        return functional.pad(v["x"], flat, value=float(v.get("constant_val") or 0.0))
    return functional.pad(v["x"], flat, mode=torch_kind[kind])


def max_pool(v: Inputs) -> Tensor:
    """``max_pool``."""
    kernel, strides, padding, ceil = _window(v)
    functional = require("torch", extra="torch").nn.functional
    return functional.max_pool2d(v["x"], kernel, strides, padding, ceil_mode=ceil)


def avg_pool(v: Inputs) -> Tensor:
    """``avg_pool``, summed in float32."""
    kernel, strides, padding, ceil = _window(v)
    functional = require("torch", extra="torch").nn.functional
    return functional.avg_pool2d(
        v["x"].float(),
        kernel,
        strides,
        padding,
        ceil_mode=ceil,
        count_include_pad=not v.get("exclude_padding_from_average"),
    )


def _window(v: Inputs) -> tuple[list[int], list[int], list[int], bool]:
    """Kernel, strides, padding on each side, and whether sizes are rounded up."""
    kernel = [int(n) for n in v["kernel_sizes"]]
    given = v.get("strides")
    strides = [1] * len(kernel) if given is None else [int(n) for n in given]
    kind, amounts = v.get("pad_type"), v.get("pad")
    if kind == "valid":
        sides = [0] * (2 * len(kernel))
    elif kind == "custom" and amounts is not None:
        sides = [int(n) for n in amounts]
    else:
        raise UnknownOperationError(f"pooling with padding {kind!r} cannot be emulated")
    if sides[::2] != sides[1::2]:
        raise UnknownOperationError("pooling with unequal padding cannot be emulated")
    return kernel, strides, sides[::2], bool(v.get("ceil_mode"))
