"""Post-training quantisation of a Core ML program, by coremltools' own passes.

``weight_only_w8_*`` stores weights in 8 bits and computes in float16; it needs iOS 16 and no
pictures. ``static_w8a8_*`` also rounds activations to 8 bits, with ranges from calibration, for
the Neural Engine of an A17 Pro, an M4 and later; it needs iOS 17. Which recipes there are, and
what their names mean, stands in `recipe`.

coremltools calibrates with Core ML's predictor, hence on a Mac only. Here the saved float16
program is watched by `runtimes.mil_program` instead, and the same passes get its ranges.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.run_coreml.interpreter import MilProgram, coremltools
from ..recipe import Recipe, is_kept, layer_name
from .observers import observe
from .onnx_graph import quantised_weight, weight_scale
from .ranges import TensorStats

if TYPE_CHECKING:
    from torch import Tensor, nn

Stats = Mapping[str, TensorStats]
LogStep = Callable[[str], None]
# Weights up to here stay float16 where activations do: the depthwise ones, a fiftieth of the file.
SMALL_WEIGHT = 2048
_CONVOLUTIONS = ("conv", "conv_transpose")
_STRIDE = 4  # of the values that are kept, in rows and columns; extremes are exact
_VALUES = 100_000  # kept of each tensor over all pictures


@dataclass(frozen=True)
class Layer:
    """A convolution of the program: the names of its operation, weight and input."""

    operation: str
    weight: str
    input: str
    weight_size: int


def check_recipe(recipe: Recipe, ios: str) -> None:
    """Refuse what Core ML, or this quantiser, does not do.

    Raises:
        ValueError: 16-bit activations, equalisation, or a system too old; the message says what
            to use.
    """
    bits = recipe.scheme.activation_bits
    if bits == 16:
        raise ValueError(f"Core ML has no 16-bit activations; {recipe.name} cannot be built")
    if recipe.equalise:
        raise ValueError("coreml-int8 does not equalise layers; use a recipe without 'equalise'")
    needed = 16 if bits is None else 17
    if int(ios) < needed:
        kind = "weights" if bits is None else "activations"
        other = "" if bits is None else ", or --recipe weight_only_w8_perchannel"
        raise ValueError(f"8-bit {kind} need iOS {needed}; use --ios {needed}{other}")


def convolutions(model: Any, network: nn.Module) -> dict[str, Layer]:  # noqa: ANN401
    """The program's convolutions by the names that recipes use (`recipe.layer_name`).

    Args:
        model: From coremltools, which names weights after the network's parameters.
        network: What was traced, inside a border that calls it ``network``.

    Raises:
        ValueError: a weight that is no parameter's.
    """
    known = {f"network_{name}".replace(".", "_"): name for name, _ in network.named_parameters()}
    found: dict[str, Layer] = {}
    for op in model._mil_program.functions["main"].operations:
        if op.op_type not in _CONVOLUTIONS:
            continue
        parameter = known.get(op.weight.name.removesuffix("_to_fp16"))
        if parameter is None:
            raise ValueError(f"convolution {op.name} has a weight of its own: {op.weight.name}")
        layer = Layer(op.outputs[0].name, op.weight.name, op.x.name, int(op.weight.val.size))
        found[layer_name(parameter)] = layer
    return found


def kept_layers(layers: Mapping[str, Layer], recipe: Recipe) -> set[str]:
    """The layers that stay float.

    Raises:
        ValueError: an entry of the recipe fits none.
    """
    for entry in recipe.keep:
        if not any(is_kept(name, (entry,)) for name in layers):
            raise ValueError(
                f"recipe keeps {entry!r} in float, but there is no such layer; layers are "
                f"{', '.join(list(layers)[:3])} ... {list(layers)[-1]}"
            )
    return {name for name in layers if is_kept(name, recipe.keep)}


def packed_weights(layers: Mapping[str, Layer], recipe: Recipe) -> list[str]:
    """The layers whose weights are to be stored in 8 bits."""
    kept = kept_layers(layers, recipe)
    least = _least(recipe)
    return [
        name for name, layer in layers.items() if name not in kept and layer.weight_size > least
    ]


def _least(recipe: Recipe) -> int:
    return SMALL_WEIGHT if recipe.scheme.activation_bits is None else 0


def watch(
    program: MilProgram,
    images: Iterable[Tensor],
    layers: Mapping[str, Layer],
    *,
    count: int,
    log: LogStep = lambda _: None,
) -> dict[str, TensorStats]:
    """What every activation of the program does on pictures, by tensor name.

    Args:
        program: The float16 program.
        images: As the program takes them.
        layers: From `convolutions`; the means of their inputs are kept, too.
        count: How many pictures there are.
        log: Called with a line for each.

    Raises:
        ValueError: no pictures, or an activation that is not finite.
    """
    inputs = {layer.input for layer in layers.values()}
    quota = max(_VALUES // max(count, 1), 64)
    seen: dict[str, list[TensorStats]] = {}

    def note(name: str, value: Tensor) -> None:
        if value.ndim == 4 and value.is_floating_point():
            seen.setdefault(name, []).append(_glance(value, quota, means=name in inputs))

    for number, image in enumerate(images):
        log(f"calibrating: {number + 1} of {count}")
        program.run({program.inputs[0]: image}, note)
    if not seen:
        raise ValueError("no calibration pictures; quantisation ranges need some")
    return {name: _joined(name, parts) for name, parts in seen.items()}


def _glance(value: Tensor, quota: int, *, means: bool) -> TensorStats:
    some = value[..., ::_STRIDE, ::_STRIDE].reshape(-1)
    some = some[:: max(some.numel() // quota, 1)].float()
    mean = value.float().mean(dim=(0, 2, 3)).double().numpy() if means else np.empty(0)
    low, high = float(value.amin()), float(value.amax())
    return TensorStats(low, high, some.numpy().copy(), mean)


def _joined(name: str, parts: list[TensorStats]) -> TensorStats:
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"activation {name} holds NaN or infinity; it cannot be quantised")
    values = np.concatenate([part.values for part in parts])
    return TensorStats(low, high, values, np.mean([part.means for part in parts], axis=0))


def with_biases(network: nn.Module) -> nn.Module:
    """A copy of the network in which every convolution has a bias, zeros where it had none.

    So the program has the same operations before and after `corrected_biases`.
    """
    import torch

    network = copy.deepcopy(network)
    for conv in network.modules():
        if isinstance(conv, torch.nn.Conv2d) and conv.bias is None:
            conv.bias = torch.nn.Parameter(torch.zeros(conv.out_channels), requires_grad=False)
    return network


def corrected_biases(
    network: nn.Module, layers: Mapping[str, Layer], stats: Stats, recipe: Recipe
) -> nn.Module:
    """A copy of the network whose biases make up for what rounding its weights shifts.

    Args:
        network: From `with_biases`.
        layers: From `convolutions`.
        stats: From `watch`.
        recipe: Which weights are rounded, and how.

    As `ptq_onnx.correct_biases`: with e = Q(W) - W, outputs are off by E[e x], which is the sum of
    e over its taps times the mean of the input channel. A transposed convolution's error differs
    from phase to phase and is left alone.
    """
    import torch

    network = copy.deepcopy(network)
    packed = set(packed_weights(layers, recipe))
    for name, conv in network.named_modules():
        layer = layers.get(layer_name(name))
        if not isinstance(conv, torch.nn.Conv2d) or layer is None or layer_name(name) not in packed:
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
    """The model as the recipe says; the argument stays as it is.

    Args:
        model: float16, from coremltools.
        layers: From `convolutions`.
        recipe: Checked by `check_recipe`.
        stats: From `watch`; None where activations stay float.
    """
    if recipe.scheme.activation_bits is not None:
        assert stats is not None
        model = _with_activations(model, layers, recipe, stats)
    coreml = coremltools("coremltools.optimize.coreml")
    config = coreml.OptimizationConfig(
        global_config=coreml.OpLinearQuantizerConfig(
            mode="linear_symmetric",
            granularity="per_channel" if recipe.scheme.per_channel else "per_tensor",
            weight_threshold=_least(recipe),
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
    """What ``linear_quantize_activations`` does, with ranges from elsewhere."""
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
    for name in (*kept, *_tail(model)):
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


def _tail(model: Any) -> list[str]:  # noqa: ANN401
    """Operations from the tanh on: the residual, the picture it is added to, the pixels."""
    names: list[str] = []
    for op in reversed(list(model._mil_program.functions["main"].operations)):
        names.append(op.name)
        if op.op_type == "tanh":
            return names
    raise ValueError("the program has no tanh: not a DeblurGAN-v2 generator")


def load_float(model: Any, folder: Path) -> MilProgram:  # noqa: ANN401
    """The model as a program that can be watched; it is written into ``folder`` for that."""
    path = folder / "float.mlpackage"
    model.save(str(path))
    return MilProgram(path)
