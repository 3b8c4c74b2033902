"""MobileNetV2's feature layers (Sandler et al., CVPR 2018, table 2), named as released."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .convolution import StridedDepthwise
from .norm import BatchNorm

# (expansion t, channels c, repeats n, stride s): table 2 of the paper.
_BLOCKS = (
    (1, 16, 1, 1),  # features[1], 1/2
    (6, 24, 2, 2),  # [2:4], 1/4
    (6, 32, 3, 2),  # [4:7], 1/8
    (6, 64, 4, 2),  # [7:11], 1/16
    (6, 96, 3, 1),  # [11:14], 1/16
    (6, 160, 3, 2),  # [14:17], 1/32
    (6, 320, 1, 1),  # [17], 1/32
)
_STEM_CHANNELS, _LAST_CHANNELS = 32, 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, linear 1x1 projection; identity added where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.add = stride == 1 and channels_in == channels_out
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*_conv_norm(channels_in, hidden, 1), nn.ReLU6(inplace=True)]
        layers += _conv_norm(hidden, hidden, 3, stride=stride, groups=hidden)
        layers += [nn.ReLU6(inplace=True)]
        layers += _conv_norm(hidden, channels_out, 1)
        self.conv = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H/stride, W/stride)."""
        result = cast("Tensor", self.conv(image))
        return image + result if self.add else result


def mobilenetv2_features(count: int) -> nn.Sequential:
    """The first ``count`` of MobileNetV2's 19 feature layers."""
    layers: list[nn.Module] = [
        nn.Sequential(*_conv_norm(3, _STEM_CHANNELS, 3, stride=2), nn.ReLU6(inplace=True))
    ]
    channels_in = _STEM_CHANNELS
    for expansion, channels, repeats, stride in _BLOCKS:
        for repeat in range(repeats):
            layers.append(
                InvertedResidual(channels_in, channels, 1 if repeat else stride, expansion)
            )
            channels_in = channels
    layers.append(
        nn.Sequential(*_conv_norm(channels_in, _LAST_CHANNELS, 1), nn.ReLU6(inplace=True))
    )
    return nn.Sequential(*layers[:count])


def _conv_norm(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    if stride == 2 and groups == channels_in:
        return [StridedDepthwise(channels_in), BatchNorm(channels_out)]
    conv = nn.Conv2d(
        channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [conv, BatchNorm(channels_out)]
