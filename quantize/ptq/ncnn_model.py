"""Post-training quantisation of an ncnn model: its own int8 convolutions, with our ranges.

ncnn computes a convolution in 8 bits where ``model.param`` says so (setting 8); all other layers
stay in float, transposed convolutions too. Values and weights are signed and have no zero point.
A convolution reads float and rounds it by itself, or 8 bits; it writes 8 bits where only 8-bit
convolutions read its result, and float elsewhere.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.optional import require
from ...runtimes.run_ncnn.param_file import Layer, param_text, parse_param
from ...runtimes.run_ncnn.runner import PARAM_FILE, WEIGHTS_FILE
from ...runtimes.run_ncnn.weights_file import (
    GROUPS,
    HAS_BIAS,
    INT8,
    REQUANTISED,
    Weights,
    parse_weights,
    weights_bytes,
)
from ..recipe import DEPTHWISE, KINDS, NARROW, Recipe
from .observers import observe
from .pt2e import kept_weights
from .weights import quantised_weight, weight_scale

if TYPE_CHECKING:
    from torch import nn

_EXTRA = "export-ncnn"
_STRIDE = 4  # in rows and columns, of the values that are kept; minima and maxima are exact
_VALUES = 100_000  # kept of each blob over all pictures
_LARGEST = 127
_NARROW = 32  # input channels up to which, on x86, 8 bits save less than rounding costs


@dataclass(frozen=True)
class NcnnModel:
    """The two files: layers in the order of execution, and convolutions' numbers by layer name."""

    layers: tuple[Layer, ...]
    weights: Mapping[str, Weights]


@dataclass(frozen=True)
class BlobStats:
    """One blob in one picture: extremes, a float32 sample of its values, and channel means (C,)."""

    low: float
    high: float
    values: np.ndarray
    means: np.ndarray


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that ncnn does not support.

    Raises:
        ValueError: other than signed 8-bit activations and a scale per channel, or equalisation.
    """
    scheme = recipe.scheme
    if scheme.activation_bits != 8 or not scheme.per_channel or not scheme.symmetric:
        raise ValueError(
            "ncnn-int8 has signed 8-bit activations and a scale per channel; "
            f"{recipe.name} cannot be built, use static_w8a8_perchannel_symmetric"
        )
    if recipe.equalise:
        raise ValueError("ncnn-int8 does not equalise layers; use a recipe without it")


def int8_layers(model: NcnnModel, network: nn.Module, recipe: Recipe) -> list[Layer]:
    """The convolutions that the recipe quantises.

    Args:
        model: In float32, converted from ``network``.
        network: Names the convolutions; ncnn's file does not.
        recipe: What stays in float.

    Raises:
        ValueError: an entry matches no layer, or a convolution's weights are not the network's.
    """
    by_content = {
        value.detach().numpy().astype(np.float32).tobytes(): name
        for name, value in network.named_parameters()
        if value.dim() == 4
    }
    named = tuple(entry for entry in recipe.keep if entry not in KINDS)
    kept = kept_weights(by_content.values(), dataclasses.replace(recipe, keep=named))
    chosen: list[Layer] = []
    for layer in model.layers:
        if _has_8_bits(layer):
            name = by_content.get(model.weights[layer.name].weight.tobytes())
            if name is None:
                raise ValueError(f"convolution {layer.name}: its weights are not the network's")
            channels = _rows(layer, model.weights[layer.name].weight).shape[1]
            depthwise = layer.kind == "ConvolutionDepthWise"
            kinds = {DEPTHWISE: depthwise, NARROW: channels <= _NARROW}
            if name not in kept and not any(kinds.get(entry) for entry in recipe.keep):
                chosen.append(layer)
    return chosen


def _has_8_bits(layer: Layer) -> bool:
    """Transposed convolutions have no 8-bit form; grouped ones are depthwise here or stay float."""
    if layer.kind == "ConvolutionDepthWise":
        return layer.number(GROUPS, 1) == layer.number(0)
    return layer.kind == "Convolution"


class StatsCollector:
    """Runs a float32 model in ncnn and keeps statistics of what some of its layers read."""

    def __init__(self, model: NcnnModel, layers: Iterable[Layer], threads: int) -> None:
        ncnn = require("ncnn", extra=_EXTRA)
        self._mat = ncnn.Mat
        self._net = float_net(ncnn, model, threads)
        sources = _sources(model.layers)
        self._blobs = list(dict.fromkeys(sources[layer.inputs[0]] for layer in layers))
        self._input = next(layer.outputs[0] for layer in model.layers if layer.kind == "Input")

    def collect(self, image: np.ndarray, quota: int) -> dict[str, BlobStats]:
        """Statistics by blob of one picture, float32 (1, 3, H, W); ``quota`` values of each.

        Raises:
            ValueError: a value is not finite.
        """
        found: dict[str, BlobStats] = {}
        with self._net.create_extractor() as extractor:
            extractor.set_light_mode(False)  # keep what later layers have read
            extractor.input(self._input, self._mat(image[0]))
            for blob in self._blobs:
                value = np.array(extractor.extract(blob)[1])
                low, high, means = value.min(), value.max(), value.mean(axis=(1, 2), dtype=float)
                if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(means).all()):
                    raise ValueError("an activation holds NaN or infinity; it cannot be quantised")
                some = value[:, ::_STRIDE, ::_STRIDE].ravel()
                some = some[:: max(some.size // quota, 1)].copy()
                found[blob] = BlobStats(float(low), float(high), some, means)
        return found


def collect_stats(
    model: NcnnModel, layers: Sequence[Layer], images: Sequence[np.ndarray], threads: int
) -> list[dict[str, BlobStats]]:
    """`StatsCollector.collect` of each picture.

    Raises:
        ValueError: no pictures, or a value is not finite.
    """
    if not images:
        raise ValueError("no calibration pictures; quantisation ranges need some")
    collector = StatsCollector(model, layers, threads)
    quota = max(_VALUES // len(images), 64)
    return [collector.collect(image, quota) for image in images]


def float_net(ncnn: Any, model: NcnnModel, threads: int) -> Any:  # noqa: ANN401 - no types
    """Ncnn's net of a model, on the CPU; what is not in 8 bits runs in float32."""
    net = ncnn.Net()
    options = net.opt
    options.num_threads = threads
    options.use_vulkan_compute = False
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage"):
        setattr(options, f"use_{name}", False)
    with tempfile.TemporaryDirectory() as folder:  # from memory, ncnn would not copy it
        write_model(model, Path(folder))
        net.load_param(str(Path(folder) / PARAM_FILE))
        net.load_model(str(Path(folder) / WEIGHTS_FILE))
    return net


def write_model(model: NcnnModel, folder: Path) -> None:
    """Write the two files into an existing folder."""
    text = param_text(list(model.layers))
    (folder / PARAM_FILE).write_text(text, encoding="utf-8", newline="\n")
    (folder / WEIGHTS_FILE).write_bytes(weights_bytes(model.layers, model.weights))


def read_model(folder: Path) -> NcnnModel:
    """The two files of a folder.

    Raises:
        OSError, ValueError: they cannot be read, or are not ncnn's.
    """
    param, weights = folder / PARAM_FILE, folder / WEIGHTS_FILE
    layers = parse_param(param.read_text(encoding="utf-8"), origin=str(param))
    numbers = parse_weights(layers, weights.read_bytes(), origin=str(weights))
    return NcnnModel(tuple(layers), numbers)


def quantise(
    model: NcnnModel,
    layers: Sequence[Layer],
    stats: Sequence[Mapping[str, BlobStats]],
    recipe: Recipe,
) -> NcnnModel:
    """The model with these layers in 8 bits.

    Args:
        model: In float32.
        layers: Of the model; see `int8_layers`.
        stats: One of each calibration picture.
        recipe: The range observer, and whether biases are corrected.

    Raises:
        ValueError: see `check_recipe`.
    """
    check_recipe(recipe)
    sources = _sources(model.layers)
    scales = {blob: _input_scale([s[blob] for s in stats], recipe) for blob in stats[0]}
    reads = {layer.name: sources[layer.inputs[0]] for layer in layers}
    writes = {
        layer.name: layer.outputs[0]
        for layer in layers
        if _readers(layer.outputs[0], model.layers) <= reads.keys()
    }
    changed: dict[str, Layer] = {}
    weights = dict(model.weights)
    for layer in layers:
        held = model.weights[layer.name]
        if recipe.correct_bias:
            means = np.mean([s[reads[layer.name]].means for s in stats], axis=0)
            held = _with_corrected_bias(layer, held, means)
        term = 1 if layer.kind == "ConvolutionDepthWise" else 2
        blobs = [reads[layer.name]]
        if layer.name in writes:
            term += REQUANTISED
            blobs.append(writes[layer.name])
        weights[layer.name] = _in_8_bits(layer, held, [scales[blob] for blob in blobs])
        settings = {**layer.settings, INT8: str(term), HAS_BIAS: str(int(held.bias is not None))}
        changed[layer.name] = dataclasses.replace(layer, settings=settings)
    return NcnnModel(tuple(changed.get(layer.name, layer) for layer in model.layers), weights)


def _sources(layers: Iterable[Layer]) -> dict[str, str]:
    """For every blob the one that it is a copy of: ncnn's Split layers hand on the same values."""
    found: dict[str, str] = {}
    for layer in layers:
        for blob in layer.outputs:
            found[blob] = found[layer.inputs[0]] if layer.kind == "Split" else blob
    return found


def _readers(blob: str, layers: Sequence[Layer]) -> set[str]:
    """Names of the layers that read a blob, by way of Split layers too."""
    found: set[str] = set()
    for layer in layers:
        if blob in layer.inputs:
            if layer.kind == "Split":
                found.update(*(_readers(copy, layers) for copy in layer.outputs))
            else:
                found.add(layer.name)
    return found or {""}  # the result of the network: float


def _input_scale(pictures: Sequence[BlobStats], recipe: Recipe) -> np.float32:
    """What values are multiplied by: 127 over the largest that the range holds.

    The observers see the values and their negatives, so that the range is symmetric.
    """
    values = np.concatenate([p.values for p in pictures])
    reach = max(abs(bound) for p in pictures for bound in (p.low, p.high))
    both = np.concatenate([values, -values])
    _, high = observe(recipe.observer, both, -reach, reach, percentile=recipe.percentile)
    return np.float32(_LARGEST / high) if high > 0 else np.float32(1.0)


def _rows(layer: Layer, weight: np.ndarray) -> np.ndarray:
    """(n,) -> (output channels, input channels of the group, taps)."""
    kernel = layer.number(1) * layer.number(11, layer.number(1))
    return weight.reshape(layer.number(0), -1, kernel)


def _in_8_bits(layer: Layer, held: Weights, blobs: Sequence[np.float32]) -> Weights:
    rows = _rows(layer, held.weight)
    scale = weight_scale(rows, 0)
    stored = quantised_weight(rows, scale, 0).ravel()
    return Weights(stored, held.bias, (1 / scale, *(np.array([b]) for b in blobs)))


def _with_corrected_bias(layer: Layer, held: Weights, means: np.ndarray) -> Weights:
    """Biases that cancel the mean error of the rounded weights; see `onnx_graph.correct_biases`."""
    rows = _rows(layer, held.weight)
    scale = weight_scale(rows, 0)
    error = quantised_weight(rows, scale, 0) * scale.reshape(-1, 1, 1) - rows
    per_input = error.sum(axis=2, dtype=float)
    depthwise = layer.kind == "ConvolutionDepthWise"
    shift = per_input[:, 0] * means if depthwise else (per_input * means).sum(axis=1)
    bias = np.zeros(len(rows)) if held.bias is None else held.bias
    return dataclasses.replace(held, bias=(bias - shift).astype(np.float32))
