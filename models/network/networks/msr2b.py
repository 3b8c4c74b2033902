"""MSR2B: multi-scale residual blocks between strided and transposed convolutions, without norms.

Qi and Wang, "An End-to-End Multi-Scale Conditional Generative Adversarial Network for Image
Deblurring", 2023. The paper leaves three things open, which are read here as follows:

- Widths inside a block: the 1x1 reduction halves the channels (256 to 128), so a group has 32, and
  each bypass is as wide as what it reads (96). A block then has 456 thousand parameters, and the
  network 5.4 million, half of DeblurGAN's, as the paper's time of 0.45 s against 0.85 s suggests.
- ReLU follows every convolution but the last, so also the reduction and the merging 1x1.
- Borders are zero-padded, and the sum with the picture is clamped to [-1, 1], as elsewhere.

Shapes: N = batch, H, W = pixels of the picture, multiples of 4.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..generator import Generator
from ..network import Form, Network
from ..tracing import Branched, behind, largest_radius_px
from ..widths import Widths

_MULTIPLE = 4  # two strided convolutions
_STEM, _STRIDED, _WIDE, _BLOCKS = 64, 128, 256, 9
_REDUCED, _GROUPS = 128, 4


class Msr2b(Branched):
    """A block: hierarchical residual connections within it, then two bypasses of other scales.

    Part A: t1 = s1, t2 = H2(s2), t3 = H3(s3 + t2), t4 = H4(s4 + t3) over four groups of channels;
    part B: 3x3 and 5x5 over [t2, t3, t4], merged with part A by a 1x1; then + input.
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        group = reduced // _GROUPS
        rest = reduced - group
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.scale2, self.scale3, self.scale4 = (
            nn.Conv2d(group, group, 3, padding=1) for _ in range(_GROUPS - 1)
        )
        self.bypass3 = nn.Conv2d(rest, rest, 3, padding=1)
        self.bypass5 = nn.Conv2d(rest, rest, 5, padding=2)
        self.merge = nn.Conv2d(reduced + 2 * rest, channels, 1)

    def parts(self) -> list[nn.Module]:
        """The longest way through the block: the three scales, then the 5x5."""
        return [nn.Sequential(self.scale2, self.scale3, self.scale4, self.bypass5)]

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same."""
        reduced = F.relu(self.reduce(image))
        group = self.scale2.in_channels
        first, second, third, fourth = (  # slices, which every exporter and quantiser takes
            reduced[:, start : start + group] for start in range(0, _GROUPS * group, group)
        )
        second = F.relu(self.scale2(second))
        third = F.relu(self.scale3(third + second))
        fourth = F.relu(self.scale4(fourth + third))
        rest = torch.cat([second, third, fourth], dim=1)
        bypasses = [F.relu(self.bypass3(rest)), F.relu(self.bypass5(rest))]
        merged = torch.cat([first, rest, *bypasses], dim=1)
        return F.relu(self.merge(merged)) + image


class Msr2bGenerator(Generator):
    """``clamp(layers(input) + input, -1, 1)``."""

    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU(inplace=True)
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, _STEM, 7, padding=3), relu),
            *(nn.Conv2d(_STEM, _STRIDED, 3, stride=2, padding=1), relu),
            *(nn.Conv2d(_STRIDED, _WIDE, 3, stride=2, padding=1), relu),
        )
        self.blocks = nn.ModuleList([Msr2b(_WIDE, _REDUCED) for _ in range(_BLOCKS)])
        self.bottleneck = nn.Conv2d(_WIDE * _BLOCKS, _WIDE, 1)
        self.decoder = nn.Sequential(
            *(_transposed(_WIDE, _STRIDED), relu),
            *(_transposed(_STRIDED, _STEM), relu),
        )
        self.final = nn.Conv2d(_STEM, 3, 1)

    def residual(self, image: Tensor) -> Tensor:
        """What is added to the picture: (N, 3, H, W) -> the same shape."""
        features = cast("Tensor", self.encoder(image))  # (N, 256, H/4, W/4)
        outputs: list[Tensor] = []
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        features = F.relu(self.bottleneck(torch.cat(outputs, dim=1)))
        return self.final(self.decoder(features))


def _transposed(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1)


def _build(_form: Form) -> Generator:
    return Msr2bGenerator()


def _radius_px(_widths: Widths | None) -> int:
    with torch.device("meta"):
        network = Msr2bGenerator()
    layers = [network.encoder, network.blocks, network.bottleneck, network.decoder, network.final]
    return largest_radius_px(
        lambda position, axis: behind(layers, (position, position), axis), _MULTIPLE
    )


NETWORK = Network(
    name="msr2b",
    title="MSR2B (2023)",
    build=_build,
    size_multiple=_MULTIPLE,
    smallest_side=_MULTIPLE,
    receptive_radius_px=_radius_px,
    marks=("blocks.0.scale2.weight", "bottleneck.weight"),
    norms=False,
    last="final",
)
