"""MobileNetV2's feature layers (Sandler et al., CVPR 2018, table 2), named as released."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .convolution import StridedDepthwise
from .norm import BatchNorm
from .widths import Widths

# (repeats n, stride s) of the paper's groups of blocks; their widths are a record's.
_GROUPS = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2))
# At full width: the stem, then the groups' c, then t * c of their blocks with expansion t = 6.
WIDTHS = Widths(
    streams=(32, 16, 24, 32, 64, 96, 160),
    hidden=(96, 144, 144, 192, 192, 192, 384, 384, 384, 384, 576, 576, 576, 960),
)
# What released files store after the last stage: two blocks of expansion 6, then a 1x1.
_EXPANSION, _LAST_BLOCK_CHANNELS, _LAST_CHANNELS = 6, 320, 1280


class InvertedResidual(nn.Module):
    """1x1 expansion to ``hidden`` channels (0: none), depthwise 3x3, linear 1x1 projection.

    With ``add``, the input is added to the result. The paper adds it where the shapes allow, which
    is in all blocks of a group but the first. Widths that happen to agree change nothing.
    """

    def __init__(
        self, channels_in: int, channels_out: int, stride: int, hidden: int, *, add: bool
    ) -> None:
        super().__init__()
        self.add = add
        layers: list[nn.Module] = []
        if hidden:
            layers += [*_conv_norm(channels_in, hidden, 1), nn.ReLU6(inplace=True)]
        wide = hidden or channels_in
        layers += _conv_norm(wide, wide, 3, stride=stride, groups=wide)
        layers += [nn.ReLU6(inplace=True)]
        layers += _conv_norm(wide, channels_out, 1)
        self.conv = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H/stride, W/stride)."""
        result = cast("Tensor", self.conv(image))
        return image + result if self.add else result


def mobilenetv2_features(count: int, widths: Widths = WIDTHS) -> nn.Sequential:
    """The first ``count`` of MobileNetV2's 19 feature layers.

    Raises:
        ValueError: the record leaves out a block that does not add its input to its output.
    """
    stem, first, *_ = widths.streams
    layers: list[nn.Module] = [
        nn.Sequential(*_conv_norm(3, stem, 3, stride=2), nn.ReLU6(inplace=True)),
        InvertedResidual(stem, first, 1, 0, add=False),
    ]
    hidden = iter(widths.hidden)
    channels_in = first
    for (repeats, stride), channels in zip(_GROUPS[1:], widths.streams[2:], strict=True):
        for repeat in range(repeats):
            # The last block of all is stored, but after the last stage: no record narrows it.
            wide = next(hidden, channels_in * _EXPANSION)
            layers.append(_block(channels_in, channels, 1 if repeat else stride, wide, repeat > 0))
            channels_in = channels
    wide = channels_in * _EXPANSION
    layers.append(InvertedResidual(channels_in, _LAST_BLOCK_CHANNELS, 1, wide, add=False))
    layers.append(
        nn.Sequential(*_conv_norm(_LAST_BLOCK_CHANNELS, _LAST_CHANNELS, 1), nn.ReLU6(inplace=True))
    )
    return nn.Sequential(*layers[:count])


def _block(channels_in: int, channels_out: int, stride: int, hidden: int, add: bool) -> nn.Module:
    if hidden:
        return InvertedResidual(channels_in, channels_out, stride, hidden, add=add)
    if not add:
        raise ValueError(
            f"widths: the block from {channels_in} to {channels_out} channels with stride {stride} "
            "cannot be left out; only one that adds its input to its output can"
        )
    return nn.Identity()


def _conv_norm(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    if stride == 2 and groups == channels_in:
        return [StridedDepthwise(channels_in), BatchNorm(channels_out)]
    conv = nn.Conv2d(
        channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [conv, BatchNorm(channels_out)]
