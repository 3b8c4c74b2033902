"""Kernels made of kernels, against PyTorch's own convolutions on small arrays."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from edgedeblur.export.rewrites.kernels import (
    PhaseConv,
    conv_from,
    dense_kernel,
    transposed_conv,
    transposed_kernel,
)
from edgedeblur.models.network.convolution import SeparableConv
from torch import nn


def conv_of(separable, bias, channels=(4, 5)):
    torch.manual_seed(7)
    if separable:
        return SeparableConv(*channels, bias=bias)
    return nn.Conv2d(*channels, 3, padding=1, bias=bias)


def test_a_dense_convolutions_kernel_is_its_own():
    conv = conv_of(separable=False, bias=True)
    kernel, bias = dense_kernel(conv)
    assert kernel.dtype == torch.float64
    assert torch.equal(kernel.float(), conv.weight)
    assert bias is conv.bias


def test_a_separable_convolutions_kernel_is_the_product():
    conv = conv_of(separable=True, bias=False, channels=(2, 2))
    with torch.no_grad():
        conv.depthwise.weight.copy_(torch.arange(18.0).reshape(2, 1, 3, 3))
        conv.pointwise.weight.copy_(torch.tensor([[1.0, 10.0], [100.0, 0.5]]).reshape(2, 2, 1, 1))
    kernel, bias = dense_kernel(conv)
    assert bias is None
    assert kernel[0, 0].flatten().tolist() == list(range(9))
    assert kernel[0, 1].flatten().tolist() == [10.0 * n for n in range(9, 18)]
    assert kernel[1, 0, 2].tolist() == [600.0, 700.0, 800.0]
    assert kernel[1, 1, 0].tolist() == [4.5, 5.0, 5.5]


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 4, (3, 1), padding=1),
        nn.Conv2d(4, 4, 1),
    ],
)
def test_other_convolutions_are_refused(conv):
    with pytest.raises(TypeError, match="Conv2d is not a dense or separable 3x3 convolution"):
        dense_kernel(conv)
    with pytest.raises(TypeError, match="Identity is not a dense or separable"):
        dense_kernel(nn.Identity())


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_conv_from_keeps_kernel_bias_and_padding(bias, padding):
    kernel, shift = torch.rand(5, 3, 2, 4).double(), torch.rand(5) if bias else None
    conv, image = conv_from(kernel, shift, padding=padding), torch.rand(1, 3, 6, 6)
    shift64 = None if shift is None else shift.double()
    expected = F.conv2d(image.double(), kernel, shift64, padding=padding)
    assert (conv(image).double() - expected).abs().max() <= 1e-5
    assert (conv.bias is not None) is bias
    assert conv.weight.dtype == torch.float32


def test_transposed_kernel_by_hand():
    kernel = torch.zeros(1, 1, 3, 3, dtype=torch.double)
    kernel[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])
    # A pixel repeated twice: the tap sums 100, 110, 11, 1 are what it gives from left to right.
    assert transposed_kernel(kernel, 2)[0, 0].tolist() == [
        [0.0] * 4, [100.0, 110.0, 11.0, 1.0], [100.0, 110.0, 11.0, 1.0], [0.0] * 4
    ]  # fmt: skip
    assert transposed_kernel(kernel.mT, 4)[0, 0, :, 1].tolist() == [100, 110, 111, 111, 11, 1]
    assert transposed_kernel(torch.zeros(5, 3, 3, 3), 2).shape == (3, 5, 4, 4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_transposed_convolution_enlarges_and_convolves(factor, separable, bias):
    conv, image = conv_of(separable, bias), torch.randn(2, 4, 4, 3)
    done = transposed_conv(conv, factor)
    with torch.no_grad():
        expected = conv(F.interpolate(image, scale_factor=factor, mode="nearest"))
        assert (done(image) - expected).abs().max() <= 1e-5
    weights = sum(p.numel() for p in done.parameters())
    side = (factor + 2) ** 2
    assert weights == (4 * side + 20 if separable else 20 * side) + 5 * bias


@pytest.mark.parametrize("bias", [True, False])
def test_phases_enlarge_by_two_and_convolve(bias):
    conv, image = conv_of(separable=False, bias=bias), torch.randn(2, 4, 4, 3)
    done = PhaseConv(conv.weight.double(), conv.bias)
    with torch.no_grad():
        expected = conv(F.interpolate(image, scale_factor=2, mode="nearest"))
        assert (done(image) - expected).abs().max() <= 1e-5
    assert done.conv.weight.shape == (20, 4, 2, 2)
    assert (done.conv.bias is not None) is bias
