"""DeblurGAN's generator of 2018: residual blocks between two strided and two transposed layers.

Kupyn, Budzan, Mykhailych, Mishkin, Matas: "DeblurGAN: Blind Motion Deblurring Using Conditional
Adversarial Networks", CVPR 2018, section 4.1. Parameter names are those of ``ResnetGenerator``
(github.com/VITA-Group/DeblurGANv2, models/networks.py) without dropout. Files of the 2018 release
have a dropout layer in each block, so that its second convolution and norm are one place further.

Shapes: N = batch, H, W = pixels of the picture, multiples of 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..generator import Generator
from ..network import Form, Network
from ..norm import DECODER_NORMS
from ..tracing import Branched, behind, largest_radius_px
from ..widths import Widths

_MULTIPLE = 4  # two strided convolutions
_WIDTHS = (64, 128, 256)
_BLOCKS = 9


class ResidualBlock(Branched):
    """Two 3x3 convolutions with norms over reflected borders, and the input added."""

    def __init__(self, channels: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(channels),
        )

    def parts(self) -> list[nn.Module]:
        """The convolutions, and the input itself."""
        return [self.conv_block, nn.Identity()]

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same."""
        return image + cast("Tensor", self.conv_block(image))


class DeblurGan(Generator):
    """``clamp(tanh(layers(input)) + input, -1, 1)``."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        narrow, middle, wide = _WIDTHS

        def strided(channels_in: int, channels_out: int) -> list[nn.Module]:
            conv = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
            return [conv, norm(channels_out), nn.ReLU(inplace=True)]

        def transposed(channels_in: int, channels_out: int) -> list[nn.Module]:
            conv = nn.ConvTranspose2d(
                channels_in, channels_out, 3, stride=2, padding=1, output_padding=1
            )
            return [conv, norm(channels_out), nn.ReLU(inplace=True)]

        first = [nn.ReflectionPad2d(3), nn.Conv2d(3, narrow, 7), norm(narrow)]
        self.model = nn.Sequential(
            *(*first, nn.ReLU(inplace=True)),
            *strided(narrow, middle),
            *strided(middle, wide),
            *(ResidualBlock(wide, norm) for _ in range(_BLOCKS)),
            *transposed(wide, middle),
            *transposed(middle, narrow),
            *(nn.ReflectionPad2d(3), nn.Conv2d(narrow, 3, 7), nn.Tanh()),
        )

    def residual(self, image: Tensor) -> Tensor:
        """What is added to the picture, in [-1, 1]: (N, 3, H, W) -> the same shape."""
        return cast("Tensor", self.model(image))


def _build(form: Form) -> Generator:
    return DeblurGan(DECODER_NORMS[form.decoder_norm])


def _radius_px(_widths: Widths | None) -> int:
    with torch.device("meta"):
        layers = DeblurGan(DECODER_NORMS["instance"]).model
    return largest_radius_px(
        lambda position, axis: behind(layers, (position, position), axis), _MULTIPLE
    )


def _without_dropout(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under the names without dropout, where blocks count one place less."""
    if "model.10.conv_block.6.weight" not in state or "model.10.conv_block.5.weight" in state:
        return dict(state)
    second = re.compile(r"(?<=\.conv_block\.)[67](?=\.)")
    return {second.sub(lambda m: str(int(m[0]) - 1), name): t for name, t in state.items()}


NETWORK = Network(
    name="deblurgan",
    title="DeblurGAN (2018)",
    build=_build,
    size_multiple=_MULTIPLE,
    smallest_side=8,  # a reflection of one pixel needs maps of two
    receptive_radius_px=_radius_px,
    marks=("model.1.weight", "model.10.conv_block.1.weight"),
    norm_mark="model.2.weight",
    renamed=_without_dropout,
    last="model.26",
)
