"""A pixel shuffle as the TFLite operator DEPTH_TO_SPACE, in a network that stays NHWC."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..rewrites.kernels import PhaseConv

if TYPE_CHECKING:
    from ...runtimes.run_tflite.tflite_file import TfliteFile


class DepthToSpaceConv(nn.Module):
    """A `PhaseConv` whose pixel shuffle has the form that `use_depth_to_space` replaces.

    litert-torch converts a pixel shuffle to six transposes and reshapes, and leaves everything
    after it in NCHW. So the shuffle is converted as a transposed convolution of stride 2 with
    weights of ones and zeros, which keeps NHWC, and becomes DEPTH_TO_SPACE afterwards. TFLite
    orders the shuffled channels (row, column, output), PyTorch (output, row, column): the
    convolution's outputs are put in TFLite's order.
    """

    def __init__(self, phases: PhaseConv) -> None:
        super().__init__()
        self.conv = copy.deepcopy(phases.conv)
        outputs = self.conv.out_channels // 4
        order = torch.arange(4 * outputs).reshape(outputs, 2, 2).permute(1, 2, 0).flatten()
        self.shuffle = nn.ConvTranspose2d(4 * outputs, outputs, 2, stride=2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(phases.conv.weight[order])
            if self.conv.bias is not None and phases.conv.bias is not None:
                self.conv.bias.copy_(phases.conv.bias[order])
            self.shuffle.weight.copy_(torch.from_numpy(shuffle_kernel(outputs)))

    def forward(self, image: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, 2h, 2w)."""
        return self.shuffle(self.conv(image))[:, :, 1:-1, 1:-1]


def shuffle_kernel(outputs: int) -> np.ndarray:
    """float32 (4 C, C, 2, 2): channel (2 row + column) C + c goes to output c at that place."""
    kernel = np.zeros((2, 2, outputs, outputs, 2, 2), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            kernel[row, column, :, :, row, column] = np.eye(outputs)
    return kernel.reshape(4 * outputs, outputs, 2, 2)


def with_depth_to_space(module: nn.Module) -> nn.Module:
    """A copy in which every `PhaseConv` is a `DepthToSpaceConv`; names stay."""
    module = copy.deepcopy(module)
    phases = [(name, m) for name, m in module.named_modules() if isinstance(m, PhaseConv)]
    for name, found in phases:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, DepthToSpaceConv(found))
    return module


def use_depth_to_space(file: TfliteFile) -> None:
    """Replace the transposed convolutions of `DepthToSpaceConv` with DEPTH_TO_SPACE, in place."""
    for operator in file.operators:
        if file.kind(operator) != "TRANSPOSE_CONV":
            continue
        weight = file.constant(int(operator.inputs[1]))  # (out, row, column, in)
        if weight is None or weight.shape[3] != 4 * weight.shape[0]:
            continue
        if not np.array_equal(weight.transpose(3, 0, 1, 2), shuffle_kernel(weight.shape[0])):
            continue
        if operator.builtinOptions.fusedActivationFunction:
            raise ValueError("the converter fused an activation into a pixel shuffle")
        operator.inputs = [operator.inputs[2]]
        file.set_kind(operator, "DEPTH_TO_SPACE")
        operator.builtinOptions = file.schema.DepthToSpaceOptionsT()
        operator.builtinOptions.blockSize = 2
        operator.builtinOptionsType = file.schema.BuiltinOptions.DepthToSpaceOptions
