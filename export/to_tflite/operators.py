"""The prepared network as TFLite operators: NHWC, depth-to-space as one operator, layers named."""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...quantize.recipe import layer_name
from ...runtimes.optional import require
from ...runtimes.run_tflite.tflite_file import CONVOLUTIONS, TfliteFile
from ...runtimes.sdk_errors import suppress_output
from ..graph import INPUT_NAME, OUTPUT_NAME
from ..rewrites.kernels import PhaseConv

if TYPE_CHECKING:
    from ..graph import Graph

_ELEMENTWISE = ("ADD", "SUB", "MUL")
HALF_RANGE = 127.5  # 8-bit levels from the middle of the range to either end


class DepthToSpaceConv(nn.Module):
    """A `PhaseConv` whose pixel shuffle is written as what `_use_depth_to_space` recognises.

    For a pixel shuffle litert-torch writes six transposes and reshapes, and leaves all that
    follows in NCHW. So the shuffle goes through it as a transposed convolution of stride 2 with
    ones and zeros for weights, which keeps NHWC, and becomes DEPTH_TO_SPACE afterwards. TFLite
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


class _Border(nn.Module):
    """The network between NHWC tensors; with ``levels`` they hold 0..255 instead of [-1, 1]."""

    def __init__(self, network: nn.Module, *, levels: bool) -> None:
        super().__init__()
        self.network = network
        self.levels = levels

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, 3) -> (1, H, W, 3)."""
        if self.levels:
            image = image * (1.0 / HALF_RANGE) - 1.0
        result = self.network(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (result + 1.0) * HALF_RANGE if self.levels else result


def to_operators(graph: Graph, size: tuple[int, int], *, levels: bool) -> TfliteFile:
    """Convert the graph with litert-torch.

    Args:
        graph: Frozen norms.
        size: (height, width) in pixels.
        levels: Whether the float input and output hold 0..255 instead of [-1, 1].

    Returns:
        float32 (1, H, W, 3) ``image`` -> float32 (1, H, W, 3) ``deblurred``; every convolution's
        output is named after its layer (`recipe.layer_name`).

    Raises:
        ValueError: the converter left an operator that TFLite's built-in ones do not cover.
    """
    network = with_depth_to_space(graph.module)
    example = torch.zeros(1, *size, 3)
    with suppress_output(), tempfile.TemporaryDirectory() as folder:
        litert = require("litert_torch", extra="tflite")
        converted = litert.convert(_Border(network, levels=levels).eval(), (example,))
        path = Path(folder) / "network.tflite"
        converted.export(str(path))
        file = TfliteFile.read(path)
    _use_depth_to_space(file)
    _join_slices(file)
    _plain_resizes(file)
    _check_operators(file)
    _name_layers(file, network)
    _name_border(file)
    _tell_apart(file)
    return file


def with_depth_to_space(module: nn.Module) -> nn.Module:
    """A copy in which every `PhaseConv` is a `DepthToSpaceConv`; names stay."""
    module = copy.deepcopy(module)
    phases = [(name, m) for name, m in module.named_modules() if isinstance(m, PhaseConv)]
    for name, found in phases:
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, DepthToSpaceConv(found))
    return module


def _use_depth_to_space(file: TfliteFile) -> None:
    """Replace the transposed convolutions that `DepthToSpaceConv` stands for."""
    for operator in file.operators:
        if file.kind(operator) != "TRANSPOSE_CONV":
            continue
        weight = file.constant(int(operator.inputs[1]))  # (out, row, column, in)
        if weight is None or weight.shape[3] != 4 * weight.shape[0]:
            continue
        if not np.array_equal(weight.transpose(3, 0, 1, 2), shuffle_kernel(weight.shape[0])):
            continue
        if operator.builtinOptions.fusedActivationFunction:
            raise ValueError("the converter put an activation into a pixel shuffle")
        operator.inputs = [operator.inputs[2]]
        file.set_kind(operator, "DEPTH_TO_SPACE")
        operator.builtinOptions = file.schema.DepthToSpaceOptionsT()
        operator.builtinOptions.blockSize = 2
        operator.builtinOptionsType = file.schema.BuiltinOptions.DepthToSpaceOptions


def _join_slices(file: TfliteFile) -> None:
    """Two SLICEs in a row, of rows and of columns, are one."""
    makers = {int(operator.outputs[0]): operator for operator in file.operators}
    for operator in list(file.operators):
        before = makers.get(int(operator.inputs[0]))
        kinds = [file.kind(one) for one in (before, operator) if one is not None]
        if kinds != ["SLICE", "SLICE"] or before is None:
            continue
        starts = [file.constant(int(one.inputs[1])) for one in (before, operator)]
        if starts[0] is None or starts[1] is None:
            continue
        total = (starts[0] + starts[1]).astype(np.int32)
        begin = file.add_tensor("slice_begin", total.shape, "int32", values=total)
        operator.inputs = [before.inputs[0], begin, operator.inputs[2]]
        file.operators.remove(before)


def _plain_resizes(file: TfliteFile) -> None:
    """Enlargement by whole factors reads the same pixels with half-pixel centres as without.

    Without is the operator's first form, which all delegates know (NNAPI took the other in
    Android 11).
    """
    for operator in file.operators:
        if file.kind(operator) != "RESIZE_NEAREST_NEIGHBOR":
            continue
        before, after = (file.shape(int(i)) for i in (operator.inputs[0], operator.outputs[0]))
        options = operator.builtinOptions
        if after[1] % before[1] or after[2] % before[2] or options.alignCorners:
            raise ValueError(f"the converter resizes {before} to {after}, not by a whole factor")
        kind = operator.builtinOptionsType
        file.set_kind(operator, "RESIZE_NEAREST_NEIGHBOR")
        options.halfPixelCenters = False
        operator.builtinOptions, operator.builtinOptionsType = options, kind


def _check_operators(file: TfliteFile) -> None:
    """Refuse what is no operator of TFLite's own, and give single numbers a dimension.

    Scalars of no dimension are not what every delegate broadcasts.
    """
    for operator in file.operators:
        for tensor in operator.inputs:
            if (
                tensor >= 0
                and file.shape(int(tensor)) == ()
                and file.kind(operator) in _ELEMENTWISE
            ):
                file.graph.tensors[int(tensor)].shape = [1]
    for operator in file.operators:
        kind = file.kind(operator)
        if kind.startswith(("COMPOSITE", "CUSTOM", "STABLEHLO", "CALL")):
            raise ValueError(f"the converter left {kind}, which no TFLite runtime takes")
    del file.model.subgraphs[1:]


def _name_layers(file: TfliteFile, module: nn.Module) -> None:
    """Name tensors: after its layer what a convolution writes, by kind and order all others.

    A layer is found by its weight's values, in whatever order the converter laid them out.
    """
    known = {
        _digest(weight.detach().numpy()): layer_name(key)
        for key, weight in module.state_dict().items()
        if weight.ndim == 4
    }
    counts: dict[str, int] = {}
    for operator in file.operators:
        kind = file.kind(operator)
        name = None
        if kind in CONVOLUTIONS:
            weight_at = int(operator.inputs[1])
            name = known.get(_digest(file.constant(weight_at)))
            if name is None:
                raise ValueError("the converter changed a convolution's weights; cannot name it")
            file.rename(weight_at, f"{name}.weight")
            bias_at = int(operator.inputs[3 if kind == "TRANSPOSE_CONV" else 2])
            file.rename(bias_at, f"{name}.bias")
        counts[kind] = counts.get(kind, -1) + 1
        file.rename(int(operator.outputs[0]), name or f"{kind.lower()}_{counts[kind]}")


def _tell_apart(file: TfliteFile) -> None:
    """Give every tensor a name of its own, which ai-edge-quantizer goes by."""
    seen: set[str] = set()
    for tensor in range(len(file.graph.tensors)):
        name = file.name(tensor)
        if name in seen:
            file.rename(tensor, f"{name}_{tensor}")
        seen.add(file.name(tensor))


def _digest(weight: np.ndarray | None) -> bytes:
    if weight is None:
        raise ValueError("the converter wrote a convolution without constant weights")
    return hashlib.sha256(np.sort(weight.ravel()).tobytes()).digest()


def _name_border(file: TfliteFile) -> None:
    """Name the input and the output, and give the graph its one signature."""
    names = {int(file.graph.inputs[0]): INPUT_NAME, int(file.graph.outputs[0]): OUTPUT_NAME}
    for tensor, name in names.items():
        file.rename(tensor, name)
    file.graph.name = "deblurgan_v2"
    file.model.description = "edgedeblur"
    file.model.metadata = [e for e in file.model.metadata or [] if e.name == b"min_runtime_version"]
    set_signature(file)


def set_signature(file: TfliteFile) -> None:
    """``serving_default``: ``image`` -> ``deblurred``, whatever tensors those are now."""
    signature = file.schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_signature_entry(file, INPUT_NAME, int(file.graph.inputs[0]))]
    signature.outputs = [_signature_entry(file, OUTPUT_NAME, int(file.graph.outputs[0]))]
    file.model.signatureDefs = [signature]


def _signature_entry(file: TfliteFile, name: str, tensor: int) -> object:
    entry = file.schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def add_picture_border(file: TfliteFile) -> None:
    """Make input and output uint8 pictures; the graph between holds 0..255 in float.

    DEQUANTIZE and QUANTIZE with scale 1 and zero point 0 rather than two CASTs: delegates take
    them, and QUANTIZE rounds and saturates.
    """
    inside, outside = int(file.graph.inputs[0]), int(file.graph.outputs[0])
    shape = file.shape(inside)
    picture = file.add_tensor(INPUT_NAME, shape, "uint8", scale=1.0)
    result = file.add_tensor(OUTPUT_NAME, shape, "uint8", scale=1.0)
    file.rename(inside, "levels_in")
    file.rename(outside, "levels_out")
    file.add_operator("DEQUANTIZE", [picture], [inside], at=0)
    file.add_operator("QUANTIZE", [outside], [result], at=len(file.operators))
    file.graph.inputs, file.graph.outputs = [picture], [result]
    set_signature(file)


def halve_weights(file: TfliteFile) -> None:
    """Store convolution weights and biases as float16; a DEQUANTIZE widens each.

    Every delegate folds these into the convolution, and GPU ones compute in half precision.
    """
    operators = [o for o in file.operators if file.kind(o) in CONVOLUTIONS]
    for operator in operators:
        for place, tensor in enumerate(operator.inputs):
            values = file.constant(int(tensor)) if tensor >= 0 else None
            if values is None or values.dtype != np.float32:
                continue
            name = file.name(int(tensor))
            stored = file.add_tensor(
                f"{name}.half", values.shape, "float16", values=values.astype(np.float16)
            )
            wide = file.add_tensor(name, values.shape, "float32")
            file.add_operator("DEQUANTIZE", [stored], [wide], at=0, version=3)
            operator.inputs[place] = wide


def weights_of(module: nn.Module) -> Mapping[str, Tensor]:
    """Weights and biases by their names in the traced graph."""
    return {key: value.detach() for key, value in module.state_dict().items()}
