"""Inception-ResNet-v2 (Szegedy et al., AAAI 2017), named as in the released ``fpn_inception.h5``.

The names, the order of branches and BatchNorm's epsilon of 0.001 are those of
github.com/Cadene/pretrained-models.pytorch, pretrainedmodels/models/inceptionresnetv2.py, which the
reference builds on. Shapes: N = batch, h, w = a map. The stem and the reductions pad nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import Scaled
from .norm import BatchNorm
from .tracing import Branched
from .widths import Widths

# In the order in which a picture passes them; those after mixed_7a are stored and not used.
LAYERS = (
    *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a"),
    *("mixed_5b", "repeat", "mixed_6a", "repeat_1", "mixed_7a"),
    *("repeat_2", "block8", "conv2d_7b", "last_linear"),
)
_EPSILON = 1e-3
Side = int | tuple[int, int]
# (channels, kernel, padding) of each convolution of a branch.
Chain = tuple[tuple[int, Side, Side], ...]


class ConvNorm(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU: (N, C_in, h, w) -> (N, C_out, h', w')."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: Side,
        *,
        stride: int = 1,
        padding: Side = 0,
    ) -> None:
        conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=padding, bias=False)
        norm = BatchNorm(channels_out, eps=_EPSILON)
        layers = (("conv", conv), ("bn", norm), ("relu", nn.ReLU(inplace=True)))
        super().__init__(OrderedDict[str, nn.Module](layers))


class Mixed(Branched):
    """Branches side by side, their channels concatenated."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self._names = [f"branch{number}" for number in range(len(branches))]
        for name, branch in zip(self._names, branches, strict=True):
            self.add_module(name, branch)

    def parts(self) -> list[nn.Module]:
        """The branches."""
        return [self.get_submodule(name) for name in self._names]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C_in, h, w) -> (N, sum of the branches' channels, h', w')."""
        return torch.cat([cast("Tensor", part(image)) for part in self.parts()], dim=1)


class ResidualBlock(Mixed, Scaled):
    """``relu(x + scale * conv(branches))``; the last block of the whole network has no ReLU."""

    def __init__(
        self, channels: int, chains: tuple[Chain, ...], scale: float, *, relu: bool = True
    ) -> None:
        super().__init__([_chain(channels, chain) for chain in chains])
        self._scale, self._relu = scale, relu
        merged = sum(chain[-1][0] for chain in chains)
        self.conv2d = nn.Conv2d(merged, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same."""
        result = cast("Tensor", self.conv2d(super().forward(image)))
        if self._scale != 1.0:
            result = result * self._scale
        result = result + image
        return F.relu(result) if self._relu else result

    @torch.no_grad()
    def fold_scale(self) -> None:
        """Multiply the convolution's weights instead, in place."""
        for parameter in self.conv2d.parameters():
            parameter.copy_(parameter.double() * self._scale)
        self._scale = 1.0


def inceptionresnetv2_features(count: int, _widths: Widths) -> nn.Sequential:
    """The first ``count`` of `LAYERS`; their widths are fixed."""
    return nn.Sequential(OrderedDict([(name, _layer(name)) for name in LAYERS[:count]]))


_CONVOLUTIONS: dict[str, tuple[int, int, int, int, int]] = {
    # channels in and out, kernel, stride, padding
    "conv2d_1a": (3, 32, 3, 2, 0),
    "conv2d_2a": (32, 32, 3, 1, 0),
    "conv2d_2b": (32, 64, 3, 1, 1),
    "conv2d_3b": (64, 80, 1, 1, 0),
    "conv2d_4a": (80, 192, 3, 1, 0),
    "conv2d_7b": (2080, 1536, 1, 1, 0),
}
_BLOCK35: tuple[Chain, ...] = (
    ((32, 1, 0),),
    ((32, 1, 0), (32, 3, 1)),
    ((32, 1, 0), (48, 3, 1), (64, 3, 1)),
)
_BLOCK17: tuple[Chain, ...] = (
    ((192, 1, 0),),
    ((128, 1, 0), (160, (1, 7), (0, 3)), (192, (7, 1), (3, 0))),
)
_BLOCK8: tuple[Chain, ...] = (
    ((192, 1, 0),),
    ((192, 1, 0), (224, (1, 3), (0, 1)), (256, (3, 1), (1, 0))),
)
# Repeats, channels, branches and scale of a run of residual blocks.
_REPEATS: dict[str, tuple[int, int, tuple[Chain, ...], float]] = {
    "repeat": (10, 320, _BLOCK35, 0.17),
    "repeat_1": (20, 1088, _BLOCK17, 0.10),
    "repeat_2": (9, 2080, _BLOCK8, 0.20),
}


def _layer(name: str) -> nn.Module:
    if name in _CONVOLUTIONS:
        channels_in, channels_out, kernel, stride, padding = _CONVOLUTIONS[name]
        return ConvNorm(channels_in, channels_out, kernel, stride=stride, padding=padding)
    if name in _REPEATS:
        repeats, channels, chains, scale = _REPEATS[name]
        return nn.Sequential(*(ResidualBlock(channels, chains, scale) for _ in range(repeats)))
    if name.startswith("maxpool"):
        return nn.MaxPool2d(3, stride=2)
    if name == "block8":
        return ResidualBlock(2080, _BLOCK8, 1.0, relu=False)
    if name == "last_linear":
        return nn.Linear(1536, 1000)
    return {"mixed_5b": _mixed_5b, "mixed_6a": _mixed_6a, "mixed_7a": _mixed_7a}[name]()


def _mixed_5b() -> Mixed:
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return Mixed(
        [
            ConvNorm(192, 96, 1),
            _chain(192, ((48, 1, 0), (64, 5, 2))),
            _chain(192, ((64, 1, 0), (96, 3, 1), (96, 3, 1))),
            nn.Sequential(pool, ConvNorm(192, 64, 1)),
        ]
    )


def _mixed_6a() -> Mixed:
    return Mixed(
        [
            ConvNorm(320, 384, 3, stride=2),
            _chain(320, ((256, 1, 0), (256, 3, 1), (384, 3, 0)), stride=2),
            nn.MaxPool2d(3, stride=2),
        ]
    )


def _mixed_7a() -> Mixed:
    return Mixed(
        [
            _chain(1088, ((256, 1, 0), (384, 3, 0)), stride=2),
            _chain(1088, ((256, 1, 0), (288, 3, 0)), stride=2),
            _chain(1088, ((256, 1, 0), (288, 3, 1), (320, 3, 0)), stride=2),
            nn.MaxPool2d(3, stride=2),
        ]
    )


def _chain(channels_in: int, chain: Chain, *, stride: int = 1) -> nn.Module:
    """Convolutions one after the other, the last with ``stride``; one alone is no sequence."""
    layers: list[nn.Module] = []
    for number, (channels, kernel, padding) in enumerate(chain):
        last = number == len(chain) - 1
        layer = ConvNorm(
            channels_in, channels, kernel, stride=stride if last else 1, padding=padding
        )
        layers.append(layer)
        channels_in = channels
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]
