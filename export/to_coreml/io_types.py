"""Inputs and outputs of a Core ML artifact: images or tensors.

With images, an app passes a pixel buffer and gets one back. Core ML passes pixels to the program as
numbers from 0 to 255 and reads its output the same way, so scale and offset are part of the
program:

- ``ImageType``'s own ``scale`` and ``bias`` would be computed in float32, which the Neural Engine
  does not support (github.com/apple/coremltools/issues/2213). Whole numbers up to 2048 are exact in
  float16, and so are ``x - 127.5`` and the picture that the residual is added to: the residual's
  own rounding is the only one near the output.
- Apple does not document how Core ML converts floats to pixels, so the program rounds itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..rewrites.transposed import with_cropped_transposed

if TYPE_CHECKING:
    from ..graph import Graph

_HALF_RANGE = 127.5  # pixel = 127.5 + 127.5 * value


class ImageWrapper(nn.Module):
    """The network with image input and output: float (1, 3, H, W), integral, RGB in 0..255."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        network = cast("Any", self.network)
        residual = network.residual((image - _HALF_RANGE) * (1.0 / _HALF_RANGE))
        return torch.clamp(image + _HALF_RANGE * residual, min=0.0, max=255.0).round()


class TensorWrapper(nn.Module):
    """The network with tensor input and output: float (1, 3, H, W), RGB in [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        return self.network(image)


def trace(graph: Graph, size: tuple[int, int], *, pictures: bool) -> torch.jit.ScriptModule:
    """The graph in its input-output wrapper, traced at (height, width), for coremltools.

    Raises:
        ValueError: a weight is not finite; coremltools' own message would be obscure.
    """
    for name, weight in graph.module.named_parameters():
        if not bool(weight.isfinite().all()):
            raise ValueError(f"weight {name} holds NaN or infinity; it cannot be converted")
    network = with_cropped_transposed(graph.module)
    wrapper = ImageWrapper(network) if pictures else TensorWrapper(network)
    with torch.no_grad():
        recorded: Any = torch.jit.trace(wrapper.eval(), torch.zeros(1, 3, *size), check_trace=False)
    return recorded
