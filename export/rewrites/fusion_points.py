"""The decoder as six fusion points, which rewrites change one by one.

A fusion point is a place where the decoder upsamples feature maps to one scale, joins them by
addition or concatenation, and convolves: td1, td2, td3 (top-down), smooth, smooth2, final.
`Generator` writes this with stock layers; `RewritableGenerator` computes the same with `Branch`es
that a rewrite can replace.

Shapes: N = batch, h, w = output of the fusion point, r = upsampling factor.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.network.generator import Generator, upsample
from ...models.network.registry import get_backbone

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


class RewritableGenerator(nn.Module):
    """A folded `Generator` whose decoder is made of fusion points; computes the same function."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        generator = copy.deepcopy(generator)
        pyramid = generator.fpn
        laterals = [cast("nn.Conv2d", pyramid.get_submodule(f"lateral{i}")) for i in range(5)]
        self.stages = get_backbone(generator.backbone).stages
        self.features = pyramid.features
        self.lateral4 = laterals[4]
        self.heads = nn.ModuleList(
            [generator.head4, generator.head3, generator.head2, generator.head1]
        )
        self.td1 = _lateral_fusion(laterals[3], pyramid.td1[0])
        self.td2 = _lateral_fusion(laterals[2], pyramid.td2[0])
        self.td3 = _lateral_fusion(laterals[1], pyramid.td3[0])
        merged = ((0, 8), (1, 4), (2, 2), (3, 1))
        heads = [out for _, out in reversed(generator.widths.heads)]
        joined = Branch(merged, widths=heads, conv=generator.smooth[0])
        self.smooth = FusionPoint([joined], conv=None, relu=True)
        self.smooth2 = _lateral_fusion(laterals[0], generator.smooth2[0])
        last = Branch(((0, 1),), factor=2, conv=generator.final)
        self.final = FusionPoint([last], conv=None, relu=False)

    def fusion_point(self, name: str) -> FusionPoint:
        """The fusion point of that name in `FUSION_POINTS`."""
        return cast("FusionPoint", self.get_submodule(name))

    def forward(self, image: Tensor) -> Tensor:
        """Float (N, 3, H, W), RGB in [-1, 1] -> the same shape and range."""
        return torch.clamp(self.residual(image) + image, min=-1.0, max=1.0)

    def residual(self, image: Tensor) -> Tensor:
        """What the network adds to the picture, in [-1, 1]: (N, 3, H, W) -> the same shape."""
        levels: list[Tensor] = []
        features = image
        for start, stop in self.stages:
            for layer in self.features[start:stop]:
                features = layer(features)
            levels.append(features)
        maps = [self.lateral4(levels[4])]  # 1/32, then 1/16, 1/8, 1/4
        for name, level in (("td1", 3), ("td2", 2), ("td3", 1)):
            maps.append(self.fusion_point(name)(levels[level], maps[-1]))
        headed = [head(level) for head, level in zip(self.heads, maps, strict=True)]
        smooth = self.smooth2(levels[0], self.smooth(*headed))
        return torch.tanh(self.final(smooth))


def _lateral_fusion(lateral: nn.Conv2d, conv: nn.Module) -> FusionPoint:
    """``relu(conv(lateral(x0) + upsample(x1)))``: the form of td1, td2, td3 and smooth2."""
    fine = Branch(((0, 1),), lateral=lateral)
    coarse = Branch(((1, 1),), factor=2)
    return FusionPoint([fine, coarse], conv=conv, relu=True)
