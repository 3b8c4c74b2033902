"""What a Core ML artifact takes and gives: pictures, or tensors.

With pictures, an app hands over a pixel buffer and gets one back. Core ML gives the program the
pixels as numbers from 0 to 255 and takes such numbers as pixels, so scale and offset stand inside:

- ``ImageType``'s own ``scale`` and ``bias`` would be computed in float32, which the Neural Engine
  does not have (github.com/apple/coremltools/issues/2213). Whole numbers up to 2048 are exact in
  float16, and so are ``x - 127.5`` and the picture that the residual is added to: the residual's
  own rounding is the only one near the output.
- Apple does not say how a float becomes a pixel. The program rounds itself, so that it does not
  matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ..graph import Graph

_HALF_RANGE = 127.5  # pixel = 127.5 + 127.5 * value


class PictureBorder(nn.Module):
    """The network between pixels: float (1, 3, H, W), whole, RGB in 0..255 -> the same."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        network = cast("Any", self.network)
        residual = network.residual((image - _HALF_RANGE) * (1.0 / _HALF_RANGE))
        return torch.clamp(image + _HALF_RANGE * residual, min=0.0, max=255.0).round()


class TensorBorder(nn.Module):
    """The network as it is: float (1, 3, H, W), RGB in [-1, 1] -> the same."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        return self.network(image)


def traced(graph: Graph, size: tuple[int, int], *, pictures: bool) -> torch.jit.ScriptModule:
    """The graph with its border, recorded at (height, width): what coremltools converts.

    Raises:
        ValueError: a weight that is not finite, of which coremltools would say something obscure.
    """
    for name, weight in graph.module.named_parameters():
        if not bool(weight.isfinite().all()):
            raise ValueError(f"weight {name} holds NaN or infinity; it cannot be converted")
    border = PictureBorder(graph.module) if pictures else TensorBorder(graph.module)
    with torch.no_grad():
        made: Any = torch.jit.trace(border.eval(), torch.zeros(1, 3, *size), check_trace=False)
    return made
