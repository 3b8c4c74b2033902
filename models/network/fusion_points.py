"""Fusion points, which rewrites change one by one.

A fusion point is a place where a decoder upsamples feature maps to one scale, joins them by
addition or concatenation, and convolves: td1, td2, td3 (top-down), smooth, smooth2, final.
`Fused` networks compute them with `Branch`es that a rewrite can replace.

Shapes: N = batch, h, w = output of the fusion point, r = upsampling factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import upsample

FUSION_POINTS = ("td1", "td2", "td3", "smooth", "smooth2", "final")
Source = tuple[int, int]  # (index of the fusion point's input, its upsampling factor)


class Branch(nn.Module):
    """One summand: concatenation, 1x1 lateral, upsampling, convolution; each part is optional.

    Attributes:
        sources: Inputs to upsample and concatenate.
        widths: Channels of each source, where several are concatenated.
        lateral: 1x1 convolution without bias, or None.
        factor: Nearest-neighbour upsampling after it.
        conv: The last step: 3x3 dense or separable, a rewritten form, or None (identity).
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        widths: Sequence[int] = (),
        lateral: nn.Conv2d | None = None,
        factor: int = 1,
        conv: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.widths = tuple(widths)
        self.lateral = lateral
        self.factor = factor
        self.conv = conv

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Inputs of the fusion point -> (N, C, h, w)."""
        parts = [inputs[i] if r == 1 else upsample(inputs[i], r) for i, r in self.sources]
        image = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        if self.lateral is not None:
            image = self.lateral(image)
        if self.factor > 1:
            image = upsample(image, self.factor)
        return image if self.conv is None else self.conv(image)


class FusionPoint(nn.Module):
    """A sum of branches, then a shared convolution and a ReLU, both optional."""

    def __init__(self, branches: Sequence[Branch], *, conv: nn.Module | None, relu: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.conv = conv
        self.relu = relu

    def typed_branches(self) -> list[Branch]:
        """`branches` as a list of `Branch`."""
        return [cast("Branch", branch) for branch in self.branches]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs of the fusion point -> (N, C, h, w)."""
        branches = self.typed_branches()
        image = branches[0](inputs)
        for branch in branches[1:]:
            image = image + branch(inputs)
        if self.conv is not None:
            image = self.conv(image)
        return F.relu(image) if self.relu else image


class Fused(nn.Module):
    """A prepared network whose decoder is made of fusion points, named as in `FUSION_POINTS`."""

    def fusion_point(self, name: str) -> FusionPoint:
        """The fusion point of that name."""
        return cast("FusionPoint", self.get_submodule(name))
