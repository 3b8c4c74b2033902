"""The base class of every network: a blurry picture in, a sharp picture out.

Shapes: N = batch, H, W = pixels of the picture, both multiples of the network's own multiple.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .widths import Widths


class Generator(nn.Module):
    """A deblurring network: float (N, 3, H, W), RGB in [-1, 1] -> the same shape and range.

    `registry.build_generator` sets the attributes, which a checkpoint's header repeats.

    Attributes:
        backbone: The network's name on the command line.
        taught_layers: Where the maps of a student and its teacher are compared; () for nowhere.
        decoder_norm: ``batch``, ``instance``, or ``none`` for a network without norms.
    """

    taught_layers: tuple[str, ...] = ()
    backbone: str = ""
    decoder_norm: str = "none"

    @property
    def record(self) -> Widths | None:
        """The architecture record; None for networks of one form."""
        return None

    def forward(self, image: Tensor) -> Tensor:
        """Float (N, 3, H, W), RGB in [-1, 1] -> the same shape and range."""
        return torch.clamp(self.residual(image) + image, min=-1.0, max=1.0)

    def residual(self, image: Tensor) -> Tensor:
        """What is added to the picture: (N, 3, H, W) -> the same shape.

        A network overrides this, or `forward` if its output is no sum with the picture.
        """
        return self(image) - image


def parameter_count(generator: nn.Module) -> int:
    """Numbers stored in parameters (running statistics not counted)."""
    return sum(p.numel() for p in generator.parameters())
