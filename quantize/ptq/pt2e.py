"""PT2E quantisation for ExecuTorch's XNNPACK backend, with our ranges, biases and float layers.

PyTorch's flow (prepare, calibrate, convert) places the Q/DQ pairs; XNNPACK's quantizer says where.
Its rules do not know ReLU6: it would quantise what a convolution gives before the activation cuts
it off. `_annotate_activations` moves the pair behind the activation, where XNNPACK fuses the two.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.optional import require
from ...runtimes.sdk_errors import suppress_output
from ..recipe import Recipe, is_kept
from .observers import observe
from .onnx_graph import layer_in_graph
from .pt2e_upsampling import is_copy, with_transposed_upsampling
from .weights import quantised_weight, weight_scale

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule, Node

_EXTRA = "export-executorch"
_STRIDE = 4  # in rows and columns, of the values that are kept; minima and maxima are exact
_VALUES = 100_000  # kept of each tensor over all pictures
_CONVOLUTIONS = ("aten.conv2d.default", "aten.conv_transpose2d.input")
_ACTIVATIONS = ("aten.relu.default", "aten.relu_.default", "aten.hardtanh.default",
                "aten.hardtanh_.default", "aten.relu6.default", "aten.relu6_.default",
                "aten.clamp.default", "aten.clamp_.default")  # fmt: skip


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that this quantiser does not support.

    Raises:
        ValueError: other than 8-bit activations, weights with one scale, or equalisation.
    """
    if recipe.scheme.activation_bits != 8 or not recipe.scheme.per_channel:
        raise ValueError(
            f"executorch-int8 has 8-bit activations and a scale per channel; {recipe.name} cannot "
            "be built, use static_w8a8_perchannel"
        )
    if recipe.equalise:
        raise ValueError("executorch-int8 does not equalise layers; use a recipe without it")


def quantised_module(
    network: nn.Module, recipe: Recipe, images: list[np.ndarray], threads: int = 1
) -> nn.Module:
    """The network with Q/DQ pairs.

    Args:
        network: float32 (1, 3, H, W) in [-1, 1] -> the same; not modified.
        recipe: What is rounded, and how.
        images: Calibration pictures, float32 (1, 3, H, W) in [-1, 1].
        threads: CPU threads.

    Raises:
        ValueError: no pictures, an activation that is not finite, or see `check_recipe` and
            `kept_weights`.
    """
    torch = require("torch", extra=_EXTRA)
    check_recipe(recipe)
    if not images:
        raise ValueError("no calibration pictures; quantisation ranges need some")
    torch.set_num_threads(threads)
    if recipe.correct_bias:
        network = with_corrected_biases(network, recipe, images)
    with suppress_output(), torch.no_grad():
        flow = require("torchao.quantization.pt2e.quantize_pt2e", extra=_EXTRA)
        traced = torch.export.export(network, (torch.from_numpy(images[0]),)).module()
        traced = with_transposed_upsampling(traced)
        prepared = flow.prepare_pt2e(traced, _quantizer(traced, recipe, len(images)))
        for image in images:
            prepared(torch.from_numpy(image))
        return flow.convert_pt2e(prepared)


def kept_weights(weights: Iterable[str], recipe: Recipe) -> set[str]:
    """Weights of the layers that stay in float, by parameter name.

    Raises:
        ValueError: an entry of the recipe matches no layer.
    """
    named = {layer_name(weight): weight for weight in weights}
    keep = tuple(layer_in_graph(entry, named) for entry in recipe.keep)
    return {weight for layer, weight in named.items() if is_kept(layer, keep)}


def with_corrected_biases(
    network: nn.Module, recipe: Recipe, images: list[np.ndarray]
) -> nn.Module:
    """A copy of the network whose biases cancel the mean error of the rounded weights.

    As in `onnx_graph.correct_biases`: with e = Q(W) - W, outputs are off by E[e x], the sum of e
    over its taps times the mean of the input channel. The error of a transposed convolution
    differs from phase to phase and is not corrected.
    """
    import torch

    network = copy.deepcopy(network)
    convs = {n: m for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    for name, mean in _input_means(network, convs, images).items():
        conv = convs[name]
        if is_kept(layer_name(name), recipe.keep):
            continue
        weight = conv.weight.detach().numpy()
        scale = weight_scale(weight, 0)
        error = quantised_weight(weight, scale, 0) * scale.reshape(-1, 1, 1, 1) - weight
        if weight.shape[1] == mean.size:
            shift = np.einsum("ocyx,c->o", error, mean)
        else:  # depthwise: each output sees its own channel
            shift = error.sum(axis=(1, 2, 3)) * mean
        held = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        corrected = held - torch.from_numpy(shift).float()
        conv.bias = torch.nn.Parameter(corrected, requires_grad=False)
    return network


def _input_means(
    network: nn.Module, convs: dict[str, Any], images: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """float64 (C,) by module name: the mean of each input channel of the convolutions that run."""
    import torch

    seen: dict[str, list[np.ndarray]] = {}

    def note(name: str) -> Any:  # noqa: ANN401
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.setdefault(name, []).append(inputs[0].double().mean(dim=(0, 2, 3)).numpy())

        return hook

    hooks = [conv.register_forward_pre_hook(note(name)) for name, conv in convs.items()]
    with torch.no_grad():
        for image in images:
            network(torch.from_numpy(image))
    for hook in hooks:
        hook.remove()
    return {name: np.mean(means, axis=0) for name, means in seen.items()}


def _quantizer(traced: GraphModule, recipe: Recipe, pictures: int) -> Any:  # noqa: ANN401
    """XNNPACK's quantizer with our observers, our float layers and fused activations."""
    rules = require("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", extra=_EXTRA)
    config = _config(recipe, pictures)
    weights = {n.name: str(n.args[1].target) for n in traced.graph.nodes
               if _is_convolution(n) and not is_copy(n)}  # fmt: skip
    kept = kept_weights(weights.values(), recipe)
    in_float = {name for name, weight in weights.items() if weight in kept}
    in_float |= _tail(traced, weights, in_float)
    in_float |= _float_copies(traced, weights, in_float)

    class Quantizer(rules.XNNPACKQuantizer):
        def annotate(self, model: GraphModule) -> GraphModule:
            _annotate_activations(model, config, in_float)
            _annotate_copies(model, config, in_float)
            return super().annotate(model)

    quantizer = Quantizer().set_global(config)
    return quantizer.set_filter_function(lambda node: node.name not in in_float)


def _config(recipe: Recipe, pictures: int) -> Any:  # noqa: ANN401
    torch = require("torch", extra=_EXTRA)
    rules = require("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", extra=_EXTRA)
    plain = rules.get_symmetric_quantization_config(is_per_channel=True)
    symmetric = recipe.scheme.symmetric
    spec = dataclasses.replace(
        plain.input_activation,
        observer_or_fake_quant_ctr=_observer(recipe, pictures).with_args(eps=2**-12),
        qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
    )
    return dataclasses.replace(plain, input_activation=spec, output_activation=spec)


def _observer(recipe: Recipe, pictures: int) -> Any:  # noqa: ANN401
    """A PT2E observer class that chooses ranges as `observers.observe` does."""
    base = require("torchao.quantization.pt2e.observer", extra=_EXTRA)
    torch = require("torch", extra=_EXTRA)
    quota = max(_VALUES // pictures, 64)

    class Observer(base.UniformQuantizationObserverBase):
        def __init__(self, **settings: Any) -> None:  # noqa: ANN401
            super().__init__(**settings)
            self.extremes: list[tuple[float, float]] = []
            self.values: list[np.ndarray] = []

        def forward(self, value: Any) -> Any:  # noqa: ANN401
            some = value.detach()[..., ::_STRIDE, ::_STRIDE].reshape(-1)
            self.values.append(some[:: max(some.numel() // quota, 1)].float().numpy().copy())
            self.extremes.append((float(value.amin()), float(value.amax())))
            return value

        def calculate_qparams(self) -> Any:  # noqa: ANN401
            lows, highs = zip(*self.extremes, strict=True)
            lowest, highest = float(np.min(lows)), float(np.max(highs))
            if not (np.isfinite(lowest) and np.isfinite(highest)):
                raise ValueError("an activation holds NaN or infinity; it cannot be quantised")
            low, high = observe(
                recipe.observer,
                np.concatenate(self.values),
                lowest,
                highest,
                percentile=recipe.percentile,
            )
            return self._calculate_qparams(torch.tensor([low]), torch.tensor([high]))

    return Observer


def _is_convolution(node: Node) -> bool:
    return node.op == "call_function" and str(node.target) in _CONVOLUTIONS


def _tail(traced: GraphModule, weights: dict[str, str], in_float: set[str]) -> set[str]:
    """What follows the last convolution, if that stays in float.

    There the network adds the picture: 8 bits for the sum would cost half a level of the result.
    """
    names = [node.name for node in traced.graph.nodes]
    last = max(weights, key=names.index)
    return set(names[names.index(last) :]) if last in in_float else set()


def _float_copies(traced: GraphModule, weights: dict[str, str], in_float: set[str]) -> set[str]:
    """Enlargements of what a float layer gives: 8 bits would round it for nothing."""
    found: set[str] = set()
    for node in traced.graph.nodes:
        if is_copy(node):
            source = node.args[0]
            while source.op == "call_function" and source.name not in weights:
                source = source.args[0]
            if source.name in in_float:
                found.add(node.name)
    return found


def _annotate_copies(model: GraphModule, config: Any, in_float: set[str]) -> None:  # noqa: ANN401
    """Enlargements write the numbers that they read: one scale for both, so nothing is rounded."""
    quantizer = require("torchao.quantization.pt2e.quantizer", extra=_EXTRA)
    weight = dataclasses.replace(config.weight, ch_axis=1)  # of a transposed convolution
    for node in model.graph.nodes:
        if is_copy(node) and node.name not in in_float:
            value, kernel = node.args[:2]
            same = quantizer.SharedQuantizationSpec((value, node))
            node.meta[quantizer.quantizer.Q_ANNOTATION_KEY] = quantizer.QuantizationAnnotation(
                input_qspec_map={value: config.input_activation, kernel: weight},
                output_qspec=same,
                _annotated=True,
            )


def _annotate_activations(model: GraphModule, config: Any, in_float: set[str]) -> None:  # noqa: ANN401
    """One pair around each convolution and the activation that alone reads it."""
    quantizer = require("torchao.quantization.pt2e.quantizer", extra=_EXTRA)
    annotation, key = quantizer.QuantizationAnnotation, quantizer.quantizer.Q_ANNOTATION_KEY
    for node in model.graph.nodes:
        # Transposed ones have their output channels elsewhere; XNNPACK's own rules know where.
        if str(node.target) != _CONVOLUTIONS[0] or node.name in in_float or len(node.users) != 1:
            continue
        (user,) = node.users
        if str(user.target) not in _ACTIVATIONS:
            continue
        specs = {node.args[0]: config.input_activation, node.args[1]: config.weight}
        if len(node.args) > 2 and node.args[2] is not None:
            specs[node.args[2]] = config.bias
        node.meta[key] = annotation(input_qspec_map=specs, _annotated=True)
        user.meta[key] = annotation(output_qspec=config.output_activation, _annotated=True)
