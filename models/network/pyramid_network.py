"""What the tools must know of the pyramids: their record, and their decoder as fusion points."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .fusion_points import Branch, Fused, FusionPoint
from .generator import Generator
from .network import Form, Network
from .pyramid import PyramidGenerator
from .tracing import SIZE_MULTIPLE, pyramid_radius_px

_ALIASES = "fpn.enc"  # the backbone's layers once more


def pyramid_network(backbone: Backbone) -> Network:
    """The record of the pyramid over a backbone."""

    def build(form: Form) -> Generator:
        return PyramidGenerator(
            backbone,
            decoder_norm=form.decoder_norm,
            dead_features=form.dead_features,
            widths=form.widths,
        )

    return Network(
        name=backbone.name,
        title=backbone.title or backbone.name,
        build=build,
        size_multiple=SIZE_MULTIPLE,
        smallest_side=backbone.smallest_side,
        receptive_radius_px=partial(pyramid_radius_px, backbone),
        marks=backbone.marks,
        norm_mark="fpn.td1.1.weight",
        renamed=_without_aliases,
        dead=backbone.dead,
        pretrained=f"fpn.{backbone.attribute}",
        last="final.pointwise" if backbone.separable else "final",
        fusion_points=_with_fusion_points,
        widths=backbone.widths,
    )


def _without_aliases(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(_ALIASES)}


def _with_fusion_points(prepared: nn.Module) -> Fused:
    return RewritableGenerator(cast("PyramidGenerator", prepared))


class RewritableGenerator(Fused):
    """A folded pyramid whose decoder is made of fusion points; computes the same function.

    Maps that lack pixels at their sides are padded before the laterals instead of after them: a
    1x1 convolution of a reflection is the reflection of it, and the sum then reads plain maps.
    """

    def __init__(self, generator: PyramidGenerator) -> None:
        super().__init__()
        generator = copy.deepcopy(generator)
        pyramid = generator.fpn
        laterals = [cast("nn.Conv2d", pyramid.get_submodule(f"lateral{i}")) for i in range(5)]
        self.encoder = pyramid.encoder
        features = pyramid.get_submodule(self.encoder.attribute)
        self.add_module(self.encoder.attribute, features)  # whose layers keep their names
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

    def forward(self, image: Tensor) -> Tensor:
        """Float (N, 3, H, W), RGB in [-1, 1] -> the same shape and range."""
        return torch.clamp(self.residual(image) + image, min=-1.0, max=1.0)

    def residual(self, image: Tensor) -> Tensor:
        """What the network adds to the picture, in [-1, 1]: (N, 3, H, W) -> the same shape."""
        levels: list[Tensor] = []
        features = image
        layers = cast("nn.Sequential", self.get_submodule(self.encoder.attribute))
        for level, (start, stop) in enumerate(self.encoder.stages):
            for layer in layers[start:stop]:
                features = layer(features)
            levels.append(self.encoder.padded(features, level))
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
