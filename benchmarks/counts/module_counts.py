"""Counts the operations of a PyTorch module on the meta device, without computing anything.

The module runs on the meta device, where tensors have shapes and no contents, and every operation
that reaches the dispatcher is counted, also those that are no modules (additions, enlargements).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .counts import Counts

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._ops import OpOverload

# Names in torch.ops.aten, without overload and without the "_" of in-place forms.
_PRODUCTS: dict[str, Callable[[Any, Any], int]] = {
    "convolution": lambda inputs, output: _convolution(inputs, output),
    "mm": lambda inputs, output: output.numel() * inputs[0].shape[-1],
    "bmm": lambda inputs, output: output.numel() * inputs[0].shape[-1],
    "addmm": lambda inputs, output: output.numel() * inputs[1].shape[-1],
}
_PER_OUTPUT = frozenset(
    {"relu", "hardtanh", "clamp", "tanh", "sigmoid", "leaky_relu", "gelu", "silu", "elu"}
    | {"add", "sub", "mul", "div", "pow", "sqrt", "rsqrt", "reciprocal", "neg"}
    | {"upsample_nearest2d", "upsample_bilinear2d", "_prelu_kernel"}
)
_PER_INPUT = frozenset({"mean", "var", "var_mean", "sum", "avg_pool2d", "max_pool2d_with_indices"})
_NORMS = frozenset({"native_batch_norm", "_native_batch_norm_legit", "_batch_norm_no_update"}) | {
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "native_group_norm",
    "native_layer_norm",
}


def count_module(
    module: nn.Module, size: tuple[int, int], *, backbone: nn.Module | None = None
) -> Counts:
    """Count one forward pass over (1, 3, height, width).

    Args:
        module: Takes and returns one tensor; it is moved to the meta device, so pass a copy.
        size: (height, width) in pixels.
        backbone: The part whose work the paper's table counts twice; None leaves
            ``macs_paper`` out. The hooks are on its direct children, because a pyramid calls
            the layers one by one.
    """
    import torch

    mode, totals, inside = _operation_counter()
    module = module.to("meta").eval()
    hooks: list[Any] = []
    for layer in backbone.children() if backbone is not None else ():
        hooks.append(layer.register_forward_pre_hook(lambda *_: inside.append(True)))
        hooks.append(layer.register_forward_hook(lambda *_: inside.clear()))
    try:
        with torch.no_grad(), mode:
            module(torch.empty(1, 3, *size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    elementwise = totals["macs"] + totals["elementwise"]
    return Counts(
        params=sum(p.numel() for p in module.parameters()),
        macs=totals["macs"],
        macs_elementwise=elementwise,
        macs_paper=elementwise + totals["backbone"] if backbone is not None else None,
    )


def count_checkpoint(path: Path, size: tuple[int, int], *, norm: str) -> Counts:
    """Count the generator that a checkpoint file holds, without layers inference never touches.

    Raises:
        ValueError: not a checkpoint of one of our networks.
    """
    from ...models.checkpoints.checkpoint import load_checkpoint
    from ...models.network.norm import set_norm_mode
    from ...models.network.registry import build_generator

    checkpoint = load_checkpoint(str(path))
    generator = build_generator(
        checkpoint.backbone, decoder_norm=checkpoint.decoder_norm, widths=checkpoint.widths
    )
    set_norm_mode(generator, norm)
    backbone = checkpoint.described.pretrained_part(generator)
    return count_module(generator, size, backbone=backbone)


def _operation_counter() -> tuple[Any, dict[str, int], list[bool]]:
    """A dispatch mode that counts, its totals, and a flag list: not empty inside the backbone."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    totals = {"macs": 0, "elementwise": 0, "backbone": 0}
    inside: list[bool] = []

    class OperationCounter(TorchDispatchMode):
        def __torch_dispatch__(
            self,
            func: OpOverload,
            types: object,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> object:
            result = func(*args, **(kwargs or {}))
            output = result[0] if isinstance(result, (tuple, list)) else result
            if isinstance(output, Tensor):
                name = func.overloadpacket.__name__
                macs, elementwise = _work(
                    name if name.startswith("_") else name.rstrip("_"), args, output
                )
                totals["macs"] += macs
                totals["elementwise"] += elementwise
                totals["backbone"] += (macs + elementwise) if inside else 0
            return result

    return OperationCounter(), totals, inside


def _work(name: str, inputs: tuple[Any, ...], output: Tensor) -> tuple[int, int]:
    """(multiply-adds, element-wise work) of one operation."""
    if name in _PRODUCTS:
        biased = name == "addmm" or (name == "convolution" and inputs[2] is not None)
        return _PRODUCTS[name](inputs, output), output.numel() if biased else 0
    if name in _NORMS:
        return 0, inputs[0].numel() * (1 if inputs[1] is None else 2)
    if name in _PER_INPUT:
        return 0, inputs[0].numel()
    return 0, output.numel() if name in _PER_OUTPUT else 0


def _convolution(inputs: tuple[Any, ...], output: Tensor) -> int:
    image, weight, transposed = inputs[0], inputs[1], inputs[6]
    # weight: (C_out, C_in / groups, kh, kw), or (C_in, C_out / groups, kh, kw) if transposed;
    # each of its elements meets every position of the output, or of the input if transposed.
    positions = (image if transposed else output).shape
    return positions[0] * math.prod(positions[2:]) * weight.numel()
