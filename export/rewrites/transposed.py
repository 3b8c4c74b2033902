"""Transposed convolutions in a form that litert-torch and coremltools convert."""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn


class CroppedTransposed(nn.ConvTranspose2d):
    """A transposed convolution with output padding: without any padding, then cropped.

    litert-torch knows TRANSPOSE_CONV's paddings alone, VALID and SAME; coremltools renames the
    weights. Padding p cuts p rows and columns off each side of the whole result; output padding
    leaves some of the last ones there.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002
        """(N, in, h, w) -> (N, out, stride * h, stride * w) for the usual paddings."""
        del output_size
        whole = F.conv_transpose2d(input, self.weight, self.bias, self.stride, groups=self.groups)
        sides: list[slice] = []
        for cut, kept in zip(self.padding, self.output_padding, strict=True):
            sides.append(slice(int(cut), (int(kept) - int(cut)) or None))
        # A copy: a ReLU in place on a view would be exported as a scatter into the whole result,
        # for which TFLite files hold masks as large as the map.
        return whole[:, :, sides[0], sides[1]].clone()


def with_cropped_transposed(module: nn.Module) -> nn.Module:
    """A copy in which every transposed convolution with output padding is cropped; names stay.

    Raises:
        ValueError: one is dilated, or leaves more pixels than its padding cuts off.
    """
    module = copy.deepcopy(module)
    for name, layer in module.named_modules():
        if type(layer) is nn.ConvTranspose2d and any(layer.output_padding):
            pairs = zip(layer.padding, layer.output_padding, strict=True)
            if any(int(kept) > int(cut) for cut, kept in pairs) or set(layer.dilation) != {1}:
                raise ValueError(f"{name}: cannot export a transposed convolution of this padding")
            layer.__class__ = CroppedTransposed
    return module
