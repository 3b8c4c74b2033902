"""Post-training quantisation of a TFLite graph by ai-edge-quantizer, with our own ranges.

Calibration runs on the ONNX graph of the same network: `ranges.StatsCollector` handles 64 pictures
at 720p in memory, which LiteRT's interpreter cannot, since it would have to keep every tensor.
Layers have the same names in both graphs; operations between layers are matched by their inputs.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.optional import require
from ...runtimes.run_tflite.tflite_file import CONVOLUTIONS, TfliteFile
from ...runtimes.sdk_errors import suppress_output
from ..recipe import Recipe
from .observers import Range
from .onnx_graph import choose_ranges, kept_nodes, layers, quantised_weight, weight_scale

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from ..pipeline import QuantisedOnnx

# Their values are all from their input, whose range they share.
_DATA_MOVEMENT = (
    *("PAD", "SLICE", "STRIDED_SLICE", "DEPTH_TO_SPACE", "RESIZE_NEAREST_NEIGHBOR"),
    "MAX_POOL_2D",
)
_ONNX_DATA_MOVEMENT = ("Pad", "Slice", "DepthToSpace", "Resize", "MaxPool")
_ONNX_ACTIVATIONS = ("Relu", "Clip")
_ONNX_JOINS = {"ADD": "Add", "CONCATENATION": "Concat"}


def quantise_tflite(file: TfliteFile, quantised: QuantisedOnnx, recipe: Recipe) -> TfliteFile:
    """Quantise a float file by a recipe.

    Args:
        file: From `export.to_tflite.operators.to_operators`, with float input and output; changed
            if the recipe corrects biases.
        quantised: The same network in ONNX, calibrated.
        recipe: The recipe.

    Raises:
        ValueError: the recipe equalises layers, or the two graphs are not the same network.
    """
    if recipe.equalise:
        raise ValueError("TFLite does not support equalisation; use a recipe with 'equalise' false")
    kept = kept_operators(file, quantised.source, recipe)
    if recipe.correct_bias:
        correct_tflite_biases(file, quantised, kept)
    found: dict[str, Any] | None = None
    if recipe.scheme.activation_bits is not None:
        ranges = tensor_ranges(file, quantised.source, choose_ranges(quantised.stats, recipe), kept)
        found = {name: _quantizer_range(*ends, symmetric=recipe.scheme.symmetric)
                 for name, ends in ranges.items()}  # fmt: skip
    return TfliteFile(_run_quantizer(file, found, recipe, kept))


def _quantizer_range(low: float, high: float, *, symmetric: bool) -> dict[str, np.ndarray]:
    """A range in ai-edge-quantizer's form; a symmetric one puts the zero point at 0."""
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    shape = (1, 1, 1, 1)
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _run_quantizer(
    file: TfliteFile, ranges: dict[str, Any] | None, recipe: Recipe, kept: Sequence[str]
) -> bytes:
    with suppress_output():
        quantizer = require("ai_edge_quantizer.quantizer", extra="export-tflite")
        types = require("ai_edge_quantizer.qtyping", extra="export-tflite")
        every = types.TFLOperationName.ALL_SUPPORTED
        grain = types.QuantGranularity
        work = quantizer.Quantizer(bytearray(file.pack()))
        scheme = recipe.scheme
        settings = {
            "regex": ".*",
            "operation_name": every,
            "weight_num_bits": 8,
            "weight_granularity": grain.CHANNELWISE if scheme.per_channel else grain.TENSORWISE,
        }
        if scheme.activation_bits is None:
            settings["num_bits"] = settings.pop("weight_num_bits")
            settings["granularity"] = settings.pop("weight_granularity")
            work.add_weight_only_config(**settings)
        else:
            work.add_static_config(**settings, activation_num_bits=scheme.activation_bits)
        for end in (types.TFLOperationName.INPUT, types.TFLOperationName.OUTPUT):
            work.update_quantization_recipe(
                regex=".*", operation_name=end, algorithm_key="no_quantize"
            )
        for name in kept:
            # An operator's scope is the names of its outputs, each with a semicolon.
            pattern = f"^{re.escape(name)};?$"
            work.update_quantization_recipe(
                regex=pattern, operation_name=every, algorithm_key="no_quantize"
            )
        with contextlib.redirect_stderr(io.StringIO()):  # one progress bar cannot be disabled
            quantised = work.quantize(
                ranges, enable_progress_bar=False, enable_progress_report=False
            )
    return bytes(quantised.quantized_model)


def kept_operators(file: TfliteFile, model: ModelProto, recipe: Recipe) -> list[str]:
    """Output names of the operators that stay float.

    These are the recipe's layers, all from the tanh on, the scaling of the picture, and data
    movement whose readers are all float.

    Raises:
        ValueError: as `onnx_graph.kept_nodes`.
    """
    nodes = kept_nodes(model, recipe)
    kept = {layer for layer, node in layers(model).items() if node in nodes}
    scaled = {int(file.graph.inputs[0])}
    tail_start = _tail_start(file)
    users: dict[int, list[str]] = {}
    for number, operator in enumerate(file.operators):
        name, kind = file.name(int(operator.outputs[0])), file.kind(operator)
        if int(operator.inputs[0]) in scaled and kind in ("MUL", "SUB", "ADD"):
            scaled.add(int(operator.outputs[0]))
            kept.add(name)
        if number >= tail_start:
            kept.add(name)
        for tensor in operator.inputs:
            users.setdefault(int(tensor), []).append(name)
    for operator in reversed(file.operators):
        written = int(operator.outputs[0])
        if file.kind(operator) in _DATA_MOVEMENT and kept.issuperset(users.get(written, [])):
            kept.add(file.name(written))
    return sorted(kept)


def _tail_start(file: TfliteFile) -> int:
    """Number of the last tanh; of what follows the last convolution, where no tanh does."""
    kinds = [file.kind(operator) for operator in file.operators]
    for number in reversed(range(len(kinds))):
        if kinds[number] == "TANH":
            return number
        if kinds[number] in CONVOLUTIONS:
            return number + 1
    return len(kinds)


def tensor_ranges(
    file: TfliteFile, model: ModelProto, ranges: Mapping[str, Range], kept: Sequence[str]
) -> dict[str, Range]:
    """Ranges of the file's activations, by tensor name, from ``ranges`` of the ONNX graph.

    Raises:
        ValueError: a quantised operator has no counterpart in the ONNX graph.
    """
    counterpart = _OnnxCounterpart(model)
    onnx_names: dict[int, str] = {int(file.graph.inputs[0]): model.graph.input[0].name}
    found: dict[str, Range] = {}
    for operator in file.operators:
        written, kind = int(operator.outputs[0]), file.kind(operator)
        name = file.name(written)
        sources = [onnx_names[int(i)] for i in operator.inputs if int(i) in onnx_names]
        fused = _has_activation(operator)
        if kind in CONVOLUTIONS:
            onnx_names[written] = counterpart.layer(name, fused=fused)
        elif kind in _ONNX_JOINS and name not in kept:
            onnx_names[written] = counterpart.joined(_ONNX_JOINS[kind], sources, fused=fused)
        elif kind in ("RELU", "RELU6"):
            onnx_names[written] = counterpart.activated(sources[0])
        elif sources:  # data movement, the scaled picture, and the float tail
            onnx_names[written] = sources[0]
        found[name] = ranges[onnx_names[written]]
    found[file.name(int(file.graph.inputs[0]))] = ranges[model.graph.input[0].name]
    return found


def _has_activation(operator: Any) -> bool:  # noqa: ANN401 - schema object
    return bool(getattr(operator.builtinOptions, "fusedActivationFunction", 0))


class _OnnxCounterpart:
    """Finds the ONNX tensor that corresponds to a TFLite tensor, by the producer's inputs."""

    def __init__(self, model: ModelProto) -> None:
        nodes = list(model.graph.node)
        names = {node: layer for layer, node in layers(model).items()}
        self._layers = {names[node.name]: node for node in nodes if node.name in names}
        self._producers = {node.output[0]: node for node in nodes}
        self._joined = {
            (node.op_type, tuple(self._before_data_movement(name) for name in node.input)): node
            for node in nodes
            if node.op_type in _ONNX_JOINS.values()
        }
        self._after = {
            self._before_data_movement(node.input[0]): node.output[0]
            for node in nodes
            if node.op_type in _ONNX_ACTIVATIONS
        }

    def layer(self, name: str, *, fused: bool) -> str:
        """Output of a convolution, after its fused activation if any."""
        if name not in self._layers:
            raise ValueError(f"layer {name} is not in the calibrated ONNX graph")
        return self._result(self._layers[name], fused=fused)

    def joined(self, kind: str, sources: Sequence[str], *, fused: bool) -> str:
        """Output of the node of that kind with these inputs, in either order."""
        for order in (tuple(sources), tuple(reversed(sources))):
            node = self._joined.get(
                (kind, tuple(self._before_data_movement(name) for name in order))
            )
            if node is not None:
                return self._result(node, fused=fused)
        raise ValueError(f"the calibrated ONNX graph has no {kind} of {', '.join(sources)}")

    def _before_data_movement(self, name: str) -> str:
        """The tensor before any data movement."""
        while name in self._producers and self._producers[name].op_type in _ONNX_DATA_MOVEMENT:
            name = self._producers[name].input[0]
        return name

    def activated(self, source: str) -> str:
        """Output of the activation that reads ``source``."""
        return self._after[source]

    def _result(self, node: NodeProto, *, fused: bool) -> str:
        return self._after[node.output[0]] if fused else node.output[0]


def correct_tflite_biases(file: TfliteFile, quantised: QuantisedOnnx, kept: Sequence[str]) -> None:
    """Correct the file's biases in place, as `onnx_graph.correct_biases` does."""
    inputs = dict(_layer_inputs(quantised.source))
    for operator in file.operators:
        kind, name = file.kind(operator), file.name(int(operator.outputs[0]))
        if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or name in kept:
            continue
        seen = quantised.stats.get(inputs[name])
        weight, bias = (file.constant(int(operator.inputs[place])) for place in (1, 2))
        if seen is None or weight is None or bias is None:
            continue
        axis = 0 if kind == "CONV_2D" else 3  # (out, row, column, in) or (1, row, column, channel)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        scale = weight_scale(weight, axis)
        error = quantised_weight(weight, scale, axis) * scale.reshape(shape) - weight
        if kind == "CONV_2D":
            shift = np.einsum("oyxc,c->o", error, seen.means)
        else:
            shift = error.sum(axis=(0, 1, 2)) * seen.means
        file.set_constant(int(operator.inputs[2]), (bias - shift).astype(np.float32))


def _layer_inputs(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Pairs of layer name and the name of its input tensor."""
    names = {node: layer for layer, node in layers(model).items()}
    for node in model.graph.node:
        if node.name in names:
            yield names[node.name], node.input[0]
