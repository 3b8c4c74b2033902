"""Converts the prepared network to TFLite operators, and cleans up what litert-torch wrote."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.optional import require
from ...runtimes.run_tflite.tflite_file import CONVOLUTIONS, TfliteFile
from ...runtimes.sdk_errors import suppress_output
from ..rewrites.transposed import with_cropped_transposed
from .depth_to_space import use_depth_to_space, with_depth_to_space
from .io_types import NhwcWrapper, name_io

if TYPE_CHECKING:
    from ..graph import Graph

_ELEMENTWISE = ("ADD", "SUB", "MUL")


def to_operators(graph: Graph, size: tuple[int, int], *, levels: bool) -> TfliteFile:
    """Convert the graph with litert-torch.

    Args:
        graph: Frozen norms.
        size: (height, width) in pixels.
        levels: Whether the float input and output hold 0..255 instead of [-1, 1].

    Returns:
        float32 (1, H, W, 3) ``image`` -> float32 (1, H, W, 3) ``deblurred``; every convolution's
        output is named after its layer (`layer_names.layer_name`).

    Raises:
        ValueError: the converter left an operator that is not a TFLite built-in.
    """
    network = with_cropped_transposed(with_depth_to_space(graph.module))
    example = torch.zeros(1, *size, 3)
    with suppress_output(), tempfile.TemporaryDirectory() as folder:
        litert = require("litert_torch", extra="export-tflite")
        converted = litert.convert(NhwcWrapper(network, levels=levels).eval(), (example,))
        path = Path(folder) / "network.tflite"
        converted.export(str(path))
        file = TfliteFile.read(path)
    use_depth_to_space(file)
    _merge_slices(file)
    _drop_half_pixel_centres(file)
    _check_operators(file)
    _unshare_constants(file)
    _name_layers(file, network)
    _name_constants(file)
    name_io(file)
    _make_names_unique(file)
    return file


def _merge_slices(file: TfliteFile) -> None:
    """Merge two consecutive SLICEs, of rows and of columns."""
    makers = {int(operator.outputs[0]): operator for operator in file.operators}
    readers = Counter(int(tensor) for operator in file.operators for tensor in operator.inputs)
    for operator in list(file.operators):
        before = makers.get(int(operator.inputs[0]))
        kinds = [file.kind(one) for one in (before, operator) if one is not None]
        if kinds != ["SLICE", "SLICE"] or before is None:
            continue
        if readers[int(before.outputs[0])] > 1:
            continue
        starts = [file.constant(int(one.inputs[1])) for one in (before, operator)]
        if starts[0] is None or starts[1] is None:
            continue
        total = (starts[0] + starts[1]).astype(np.int32)
        begin = file.add_tensor("slice_begin", total.shape, "int32", values=total)
        operator.inputs = [before.inputs[0], begin, operator.inputs[2]]
        file.operators.remove(before)


def _drop_half_pixel_centres(file: TfliteFile) -> None:
    """Turn half-pixel centres off in resizes by integer factors, where they change nothing.

    That is version 1 of the operator, which all delegates support (NNAPI supports the other from
    Android 11 on).
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
    """Refuse operators that are not TFLite built-ins, and give scalars one dimension.

    Not every delegate broadcasts zero-dimensional scalars.
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
            raise ValueError(f"the converter left {kind}, which TFLite runtimes do not support")
    del file.model.subgraphs[1:]


def _name_layers(file: TfliteFile, module: nn.Module) -> None:
    """Name convolution outputs after their layers, and all others by kind and order.

    A layer is identified by the values of its weight, independent of their layout.
    """
    known: dict[bytes, list[str]] = {}
    for key, weight in module.state_dict().items():
        if weight.ndim == 4:
            known.setdefault(_digest(weight.detach().numpy()), []).append(layer_name(key))
    counts: dict[str, int] = {}
    for operator in file.operators:
        kind = file.kind(operator)
        name = None
        if kind in CONVOLUTIONS:
            # Layers with equal weights are in the file in the order in which the module holds them.
            names = known.get(_digest(file.constant(int(operator.inputs[1]))))
            if not names:
                raise ValueError("the converter changed a convolution's weights; cannot name it")
            name = names.pop(0) if len(names) > 1 else names[0]  # a layer may run twice
            file.rename(int(operator.inputs[1]), f"{name}.weight")
            file.rename(int(operator.inputs[3 if kind == "TRANSPOSE_CONV" else 2]), f"{name}.bias")
        counts[kind] = counts.get(kind, -1) + 1
        file.rename(int(operator.outputs[0]), name or f"{kind.lower()}_{counts[kind]}")


def _unshare_constants(file: TfliteFile) -> None:
    """Give every convolution a weight and a bias of its own.

    The converter stores equal constants once, above all the zero biases of layers that have none;
    quantisation then gives each layer another bias.
    """
    seen: set[int] = set()
    for operator in file.operators:
        kind = file.kind(operator)
        if kind not in CONVOLUTIONS:
            continue
        for place in (1, 3 if kind == "TRANSPOSE_CONV" else 2):
            tensor = int(operator.inputs[place])
            values = file.constant(tensor)
            if tensor in seen and values is not None:
                shape, dtype = file.shape(tensor), file.dtype(tensor)
                tensor = file.add_tensor(file.name(tensor), shape, dtype, values=values)
                operator.inputs[place] = tensor
            seen.add(tensor)


def _name_constants(file: TfliteFile) -> None:
    """Number the constants that litert-torch named after this package's classes and modules.

    A file's bytes must not depend on what those are called.
    """
    package = __name__.partition(".")[0]
    count = 0
    for tensor in range(len(file.graph.tensors)):
        if f"{package}." in file.name(tensor):
            file.rename(tensor, f"constant_{count}")
            count += 1


def _make_names_unique(file: TfliteFile) -> None:
    """Give every tensor a unique name, which ai-edge-quantizer requires."""
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


def store_float16_weights(file: TfliteFile) -> None:
    """Store convolution weights and biases as float16, each with a DEQUANTIZE to float32.

    Every delegate folds these into the convolution; GPU delegates compute in half precision.
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
