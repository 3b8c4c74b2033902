"""Multiply-accumulates of a PyTorch network's convolutions, from its own layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def conv_macs(module: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-accumulates of all convolutions for one picture, without bias and element-wise work.

    A convolution costs (outputs) x (kernel area) x (input channels / groups); a transposed one
    (inputs) x (kernel area) x (output channels / groups).

    Args:
        module: The network; it is run without memory or arithmetic, on PyTorch's meta device.
        size: (height, width) in pixels.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.ConvTranspose2d):
            per_element = layer.weight[0].numel()  # (in, out / groups, k, k)
            total += inputs[0].numel() * per_element
        elif isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()  # (out, in / groups, k, k)

    hooks: list[Any] = []
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            hooks.append(layer.register_forward_hook(count))
    try:
        state = {name: t.to("meta") for name, t in module.state_dict(keep_vars=True).items()}
        picture = torch.empty(1, 3, *size, device="meta")
        with torch.no_grad():
            torch.func.functional_call(module, state, (picture,))
    finally:
        for hook in hooks:
            hook.remove()
    return total
