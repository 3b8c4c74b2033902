"""Post-training quantisation of a Core ML program, with coremltools' own passes.

``weight_only_w8_*`` stores weights in 8 bits and computes in float16; it needs iOS 16 and no
pictures. ``static_w8a8_*`` also rounds activations to 8 bits, with ranges from calibration, for
the Neural Engine of an A17 Pro, an M4 and later; it needs iOS 17. `recipe` lists the recipes and
explains their names.

coremltools calibrates on a Mac only; here the same passes get their ranges from `coreml_stats`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.run_coreml.interpreter import coremltools
from ..recipe import Recipe
from .coreml_layers import CONVOLUTIONS, Layer, int8_layers, kept_layers, weight_threshold
from .coreml_stats import Stats
from .observers import observe
from .weights import quantised_weight, weight_scale

if TYPE_CHECKING:
    from torch import nn


def with_biases(network: nn.Module) -> nn.Module:
    """A copy of the network in which every convolution has a bias, zero where it had none.

    The program then has the same operations before and after `with_corrected_biases`.
    """
    import torch

    network = copy.deepcopy(network)
    for conv in network.modules():
        if isinstance(conv, torch.nn.Conv2d) and conv.bias is None:
            conv.bias = torch.nn.Parameter(torch.zeros(conv.out_channels), requires_grad=False)
    return network


def with_corrected_biases(
    network: nn.Module, layers: Mapping[str, Layer], stats: Stats, recipe: Recipe
) -> nn.Module:
    """A copy of the network whose biases cancel the mean error of the rounded weights.

    As in `onnx_graph.correct_biases`: with e = Q(W) - W, outputs are off by E[e x], the sum of e
    over its taps times the mean of the input channel. The error of a transposed convolution
    differs from phase to phase and is not corrected.

    Args:
        network: From `with_biases`.
        layers: From `coreml_layers.convolutions`.
        stats: From `coreml_stats.collect_stats`.
        recipe: Which weights are rounded, and how.
    """
    import torch

    network = copy.deepcopy(network)
    rounded = set(int8_layers(layers, recipe))
    for name, conv in network.named_modules():
        layer = layers.get(layer_name(name))
        if not isinstance(conv, torch.nn.Conv2d) or layer is None:
            continue
        if layer_name(name) not in rounded:
            continue
        weight = conv.weight.detach().numpy()
        scale = weight_scale(weight, 0 if recipe.scheme.per_channel else None)
        shaped = scale.reshape(-1, 1, 1, 1) if scale.ndim else scale
        error = quantised_weight(weight, scale, 0) * shaped - weight
        means = stats[layer.input].means
        if weight.shape[1] == means.size:
            shift = np.einsum("ocyx,c->o", error, means)
        else:  # depthwise: each output sees its own channel
            shift = error.sum(axis=(1, 2, 3)) * means
        assert conv.bias is not None
        conv.bias -= torch.from_numpy(shift).float()
    return network


def quantise(
    model: Any,  # noqa: ANN401 - ct.models.MLModel
    layers: Mapping[str, Layer],
    recipe: Recipe,
    stats: Stats | None,
) -> Any:  # noqa: ANN401
    """A copy of the model, quantised by the recipe.

    Args:
        model: float16, from coremltools.
        layers: From `coreml_layers.convolutions`.
        recipe: Checked by `coreml_layers.check_recipe`.
        stats: From `coreml_stats.collect_stats`; None where activations stay float.
    """
    if recipe.scheme.activation_bits is not None:
        assert stats is not None
        model = _with_activations(model, layers, recipe, stats)
    coreml = coremltools("coremltools.optimize.coreml")
    config = coreml.OptimizationConfig(
        global_config=coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            granularity="per_channel" if recipe.scheme.per_channel else "per_tensor",
            weight_threshold=weight_threshold(recipe),
        )
    )
    for name in kept_layers(layers, recipe):
        config.set_op_name(layers[name].weight, None)
    return coreml.linear_quantize_weights(model, config)


def _with_activations(
    model: Any,  # noqa: ANN401
    layers: Mapping[str, Layer],
    recipe: Recipe,
    stats: Stats,
) -> Any:  # noqa: ANN401
    """The passes of coremltools' ``linear_quantize_activations``, with our own ranges."""
    coreml = coremltools("coremltools.optimize.coreml")
    passes = coremltools("coremltools.converters.mil.mil.passes.pass_registry").PASS_REGISTRY
    option = coremltools("coremltools.converters.mil.mil.passes.graph_pass").PassOption
    utils = coremltools("coremltools.models.utils")
    config = coreml.OptimizationConfig(
        global_config=coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric" if recipe.scheme.symmetric else "linear"
        )
    )
    kept = {layers[name].operation for name in kept_layers(layers, recipe)}
    for name in (*kept, *_float_tail(model)):
        config.set_op_name(name, None)
    options = [option("config", config), option("activation_stats", _ranges(stats, recipe))]
    chosen = [
        passes["compression::insert_prefix_quantize_dequantize_pair"],
        passes["compression::insert_suffix_quantize_dequantize_pair"],
    ]
    for each in chosen:
        each.set_options(options)
    chosen.append(passes["common::dequantize_quantize_pair_elimination"])
    return utils._apply_graph_pass(
        model, chosen, spec_version=model.get_spec().specificationVersion, skip_model_load=True
    )


def _ranges(stats: Stats, recipe: Recipe) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, seen in stats.items():
        low, high = observe(
            recipe.observer, seen.values, seen.low, seen.high, percentile=recipe.percentile
        )
        found[name] = {"rmin": low, "rmax": high}
    return found


def _float_tail(model: Any) -> list[str]:  # noqa: ANN401
    """Names of the operations from the tanh on: residual add, clamp, pixel scaling.

    Of those after the last convolution, where no tanh follows it.
    """
    names: list[str] = []
    for op in reversed(list(model._mil_program.functions["main"].operations)):
        if op.op_type in CONVOLUTIONS:
            break
        names.append(op.name)
        if op.op_type == "tanh":
            break
    return names
