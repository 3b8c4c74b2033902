"""The DeblurGAN-v2 generator: a feature pyramid over a backbone, then a residual.

Kupyn, Martyniuk, Wu, Wang: "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better",
ICCV 2019, section 3.1 and figure 3. Parameter names are those of the released checkpoints
(github.com/VITA-Group/DeblurGANv2, models/fpn_mobilenet.py and fpn_inception.py), so that both load
by name.

Shapes below: N = batch, H, W = pixels of the picture, both multiples of 32.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import Backbone
from .convolution import conv3x3, upsample
from .generator import Generator
from .norm import DECODER_NORMS
from .widths import Widths, check_widths


class Pyramid(nn.Module):
    """Bottom-up backbone and top-down path with lateral 1x1 convolutions."""

    def __init__(
        self, backbone: Backbone, widths: Widths, norm: type[nn.Module], *, dead_features: bool
    ) -> None:
        super().__init__()
        count = backbone.stored_features if dead_features else backbone.live_features
        self.add_module(backbone.attribute, backbone.features(count, widths))
        self.encoder = backbone

        def top_down(channels_in: int, channels_out: int) -> nn.Sequential:
            conv = conv3x3(channels_in, channels_out, bias=True, separable=backbone.separable)
            return nn.Sequential(conv, norm(channels_out), nn.ReLU(inplace=True))

        map1, map2, map3, map4 = widths.pyramid
        self.td1, self.td2, self.td3 = (
            top_down(map4, map3),
            top_down(map3, map2),
            top_down(map2, map1),
        )
        ends = backbone.channels(widths)
        for level, (channels, width) in enumerate(zip(ends, widths.laterals, strict=True)):
            self.add_module(f"lateral{level}", nn.Conv2d(channels, width, 1, bias=False))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> lateral0 at 1/2, then the maps at 1/4, 1/8, 1/16 and 1/32."""
        laterals: list[Tensor] = []
        features = cast("nn.Sequential", self.get_submodule(self.encoder.attribute))
        for level, (start, stop) in enumerate(self.encoder.stages):
            for layer in features[start:stop]:
                image = layer(image)
            lateral = cast("Tensor", self.get_submodule(f"lateral{level}")(image))
            laterals.append(self.encoder.padded(lateral, level))
        map4 = laterals[4]  # 1/32
        map3 = cast("Tensor", self.td1(laterals[3] + upsample(map4, 2)))  # 1/16
        map2 = cast("Tensor", self.td2(laterals[2] + upsample(map3, 2)))  # 1/8
        map1 = cast("Tensor", self.td3(laterals[1] + upsample(map2, 2)))  # 1/4
        return laterals[0], map1, map2, map3, map4


class Head(nn.Module):
    """Two bias-free 3x3 convolutions with ReLU, or one: see `Widths.heads`."""

    def __init__(self, channels_in: int, widths: tuple[int, int], *, separable: bool) -> None:
        super().__init__()
        hidden, out = widths
        self.block0 = conv3x3(channels_in, hidden or out, bias=False, separable=separable)
        self.block1 = None
        if hidden:
            self.block1 = conv3x3(hidden, out, bias=False, separable=separable)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels_in, h, w) -> (N, out, h, w)."""
        image = F.relu(self.block0(image))
        return image if self.block1 is None else F.relu(self.block1(image))


class PyramidGenerator(Generator):
    """Blurry picture in, sharp picture out: ``clamp(tanh(residual) + input, -1, 1)``.

    Args:
        backbone: Its features and kind of convolutions.
        decoder_norm: ``batch`` (affine, ours) or ``instance`` (no affine part, as released).
        dead_features: Also hold the backbone layers that released checkpoints store and
            inference never touches.
        widths: The architecture record; None for the backbone's default.

    Raises:
        ValueError: unknown ``decoder_norm``, or a record that does not fit the backbone.
    """

    # Layers whose maps a narrower network can be taught, see `training.objective.features`.
    taught_layers = ("fpn.td1", "fpn.td2", "fpn.td3", "smooth", "smooth2")

    def __init__(
        self,
        backbone: Backbone,
        *,
        decoder_norm: str,
        dead_features: bool,
        widths: Widths | None = None,
    ) -> None:
        super().__init__()
        if decoder_norm not in DECODER_NORMS:
            raise ValueError(f"decoder norm must be batch or instance, not {decoder_norm!r}")
        norm = DECODER_NORMS[decoder_norm]
        separable = backbone.separable
        widths = widths or backbone.widths
        check_widths(widths, backbone.widths)
        if backbone.fixed and widths.streams != backbone.widths.streams:
            raise ValueError(f"widths: the streams of {backbone.name} cannot be narrowed")
        self.backbone = backbone.name
        self.widths = widths
        self.decoder_norm = decoder_norm
        self.fpn = Pyramid(backbone, widths, norm, dead_features=dead_features)
        self.head1, self.head2, self.head3, self.head4 = (
            Head(channels, head, separable=separable)
            for channels, head in zip(widths.pyramid, widths.heads, strict=True)
        )
        self.smooth = nn.Sequential(
            conv3x3(widths.merged, widths.smooth, bias=True, separable=separable),
            norm(widths.smooth),
            nn.ReLU(inplace=True),
        )
        self.smooth2 = nn.Sequential(
            conv3x3(widths.smooth, widths.smooth2, bias=True, separable=separable),
            norm(widths.smooth2),
            nn.ReLU(inplace=True),
        )
        self.final = conv3x3(widths.smooth2, 3, bias=True, separable=separable)

    @property
    def record(self) -> Widths:
        """The architecture record."""
        return self.widths

    def residual(self, image: Tensor) -> Tensor:
        """The residual added to the picture, in [-1, 1]: (N, 3, H, W) -> the same shape."""
        map0, map1, map2, map3, map4 = self.fpn(image)
        merged = torch.cat(  # 1/4
            [
                upsample(self.head4(map4), 8),
                upsample(self.head3(map3), 4),
                upsample(self.head2(map2), 2),
                self.head1(map1),
            ],
            dim=1,
        )
        smooth = upsample(self.smooth(merged), 2)  # 1/2
        smooth = upsample(self.smooth2(smooth + map0), 2)  # 1/1
        return torch.tanh(self.final(smooth))  # (N, 3, H, W)
