"""Kernel arithmetic of the rewrites: 3x3 kernels converted to equivalent kernels, in float64.

Conventions: a kernel is (out, in, height, width) as in `nn.Conv2d`, applied with zero padding 1:
``y[i] = sum_t k[t] x[i + t - 1]`` for t in 0, 1, 2 (one axis shown; both work alike).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.network.convolution import SeparableConv


def dense_kernel(conv: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Kernel float64 (out, in, 3, 3) and bias of a dense or separable 3x3 convolution.

    Separable: y[o] = sum_c p[o, c] (d[c] * x[c]) = sum_c (p[o, c] d[c]) * x[c].

    Raises:
        TypeError: another layer.
    """
    if isinstance(conv, SeparableConv):
        depthwise = conv.depthwise.weight.double()  # (in, 1, 3, 3)
        pointwise = conv.pointwise.weight.double()  # (out, in, 1, 1)
        return pointwise * depthwise.transpose(0, 1), conv.pointwise.bias
    if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and conv.groups == 1:
        return conv.weight.double(), conv.bias
    raise TypeError(f"{type(conv).__name__} is not a dense or separable 3x3 convolution")


def conv_from(kernel: Tensor, bias: Tensor | None, *, padding: int) -> nn.Conv2d:
    """A float32 convolution with this kernel."""
    out, channels, height, width = kernel.shape
    conv = nn.Conv2d(channels, out, (height, width), padding=padding, bias=bias is not None)
    with torch.no_grad():
        conv.weight.copy_(kernel)
        if conv.bias is not None and bias is not None:
            conv.bias.copy_(bias)
    return conv


def transposed_kernel(kernel: Tensor, factor: int) -> Tensor:
    """Kernel of the transposed convolution that equals upsampling by r and convolving.

    Input pixel i is repeated at r i + u, u in 0 .. r-1, and tap t carries position j to output
    j - t + 1. So it reaches output r i - 1 + (u - t + 2): index n = u - t + 2 of a kernel of r + 2
    with stride r and padding 1, K[n] = sum over u - t + 2 = n of k[t]. That is the full
    correlation of k with r ones: MACs per output fall from 9 to ((r + 2) / r)^2.

    Returns:
        Float64 (in, out, r + 2, r + 2), as `nn.ConvTranspose2d` stores it.
    """
    out, channels, _, _ = kernel.shape
    size = factor + 2
    result = kernel.new_zeros(out, channels, size, size)
    for row in range(3):
        for column in range(3):
            top, left = 2 - row, 2 - column
            result[:, :, top : top + factor, left : left + factor] += kernel[
                :, :, row : row + 1, column : column + 1
            ]
    return result.transpose(0, 1)


# Taps of a 3x3 kernel that fall on the first and on the second pixel of a 2-pixel window, for the
# two output rows next to the edge between them: phase 0 is the lower half of the first
# pixel (it sees itself twice and the second once), phase 1 the upper half of the second.
_WINDOW = {0: (0, 0, 1), 1: (0, 1, 1)}


class PhaseConv(nn.Module):
    """Upsampling by 2 and a 3x3 convolution, as a 2x2 convolution at low resolution.

    Output row 2 i - 1 sees x[i-1], x[i-1], x[i] and row 2 i sees x[i-1], x[i], x[i]: both lie in
    the window (x[i-1], x[i]). So the 2x2 convolution over the input padded by 1 gives, for each
    window, 2x2 outputs as channels; a pixel shuffle lays them out, one pixel too early, and the
    outermost rows and columns (rows -1 and 2 h) are cut off. MACs: 16 instead of 36 for each
    low-resolution pixel, and the upsampled map is never computed.
    """

    def __init__(self, kernel: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        out, channels, _, _ = kernel.shape
        phases = kernel.new_zeros(out, 2, 2, channels, 2, 2)
        for a in (0, 1):
            for b in (0, 1):
                for row in range(3):
                    for column in range(3):
                        place = (_WINDOW[a][row], _WINDOW[b][column])
                        phases[:, a, b, :, place[0], place[1]] += kernel[:, :, row, column]
        spread = None if bias is None else bias.repeat_interleave(4)
        self.conv = conv_from(phases.reshape(4 * out, channels, 2, 2), spread, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, 2h, 2w)."""
        return F.pixel_shuffle(self.conv(image), 2)[:, :, 1:-1, 1:-1]


def transposed_conv(conv: nn.Module, factor: int) -> nn.Module:
    """Upsampling by ``factor`` and then ``conv``, as one transposed convolution.

    A separable convolution stays separable: its depthwise part becomes a depthwise transposed
    convolution, its pointwise part stays.
    """
    if isinstance(conv, SeparableConv):
        depthwise = conv.depthwise.weight.double()
        channels = depthwise.shape[0]
        kernel = transposed_kernel(depthwise, factor).transpose(0, 1)  # (in, 1, r+2, r+2)
        return nn.Sequential(
            _transposed(kernel, None, channels, factor, groups=channels), conv.pointwise
        )
    kernel, bias = dense_kernel(conv)
    return _transposed(transposed_kernel(kernel, factor), bias, kernel.shape[0], factor, groups=1)


def _transposed(
    kernel: Tensor, bias: Tensor | None, out: int, factor: int, *, groups: int
) -> nn.ConvTranspose2d:
    conv = nn.ConvTranspose2d(
        kernel.shape[0],
        out,
        factor + 2,
        stride=factor,
        padding=1,
        groups=groups,
        bias=bias is not None,
    )
    with torch.no_grad():
        conv.weight.copy_(kernel)
        if conv.bias is not None and bias is not None:
            conv.bias.copy_(bias)
    return conv
