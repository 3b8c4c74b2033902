"""Convolutions of the dense and the depthwise-separable network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Scaled(nn.Module):
    """A layer that scales what a convolution of it gives; exporters get the scale folded away."""

    def fold_scale(self) -> None:
        """Multiply the convolution's weights instead, in place."""
        raise NotImplementedError


class SeparableConv(nn.Module):
    """Depthwise 3x3 (no bias), then pointwise 1x1: MobileNet-DSC's replacement for a dense 3x3.

    DeblurGAN-v2 (Kupyn et al., ICCV 2019, section 3.1): all normal convolutions of the full
    network, also outside the backbone, become depthwise separable ones.
    """

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        return self.pointwise(self.depthwise(image))


class StridedDepthwise(nn.Conv2d):
    """A depthwise 3x3 of stride 2, computed with stride 1 when it trains on a CPU.

    PyTorch's CPU gradient of a strided depthwise convolution is 3 to 14 times slower than that of
    stride 1 (torch 2.14, oneDNN, bf16 and channels last, 8x8 to 64x64 pixels), which made four
    layers take 30 % of a training step. Every second row and column of the stride-1 result is
    the same sum over the same values.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, 2, padding=1, groups=channels, bias=False)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        """(N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)); overrides the base class."""
        if self.training and input.device.type == "cpu":
            whole = F.conv2d(input, weight, bias, padding=1, groups=self.groups)
            return whole[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        return super()._conv_forward(input, weight, bias)


def upsample(image: Tensor, factor: int) -> Tensor:
    """Nearest-neighbour enlargement: (N, C, H, W) -> (N, C, factor*H, factor*W)."""
    return F.interpolate(image, scale_factor=float(factor), mode="nearest")


def conv3x3(channels_in: int, channels_out: int, *, bias: bool, separable: bool) -> nn.Module:
    """A 3x3 convolution that keeps the size: dense, or separable from more than 3 channels on."""
    if separable and channels_in > 3:
        return SeparableConv(channels_in, channels_out, bias=bias)
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias)


def last_conv(module: nn.Module) -> nn.Conv2d | nn.ConvTranspose2d:
    """The last convolution of ``module``, into which a following norm folds."""
    if isinstance(module, SeparableConv):
        return module.pointwise
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return module
    raise TypeError(f"{type(module).__name__} does not end in a convolution")


def replace_last_conv(module: nn.Module, conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """``module`` with its last convolution replaced; in place for a separable one."""
    if isinstance(module, SeparableConv):
        assert isinstance(conv, nn.Conv2d)
        module.pointwise = conv
        return module
    return conv
