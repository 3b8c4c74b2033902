"""Convolutions of a Core ML program, and which of them a recipe quantises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...models.checkpoints.layer_names import layer_name
from ..recipe import Recipe, is_kept

if TYPE_CHECKING:
    from torch import nn

# Weights up to here stay float16 where activations do: the depthwise ones, a fiftieth of the file.
SMALL_WEIGHT = 2048
CONVOLUTIONS = ("conv", "conv_transpose")


@dataclass(frozen=True)
class Layer:
    """A convolution of a Core ML program.

    Attributes:
        operation: Name of the operation.
        weight: Name of its weight.
        input: Name of the tensor it reads.
        weight_size: Number of elements of the weight.
    """

    operation: str
    weight: str
    input: str
    weight_size: int


def check_recipe(recipe: Recipe, ios: str) -> None:
    """Refuse a recipe that Core ML or this quantiser does not support.

    Raises:
        ValueError: 16-bit activations, equalisation, or too old an iOS version; the message says
            what to use.
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
    """The program's convolutions, keyed by layer name (`layer_names.layer_name`).

    Args:
        model: From coremltools, which names weights after the network's parameters.
        network: The traced network, which the input-output wrapper holds as ``network``.

    Raises:
        ValueError: a weight is not a parameter of the network.
    """
    known = {f"network_{name}".replace(".", "_"): name for name, _ in network.named_parameters()}
    found: dict[str, Layer] = {}
    for op in model._mil_program.functions["main"].operations:
        if op.op_type not in CONVOLUTIONS:
            continue
        parameter = known.get(op.weight.name.removesuffix("_to_fp16"))
        if parameter is None:
            raise ValueError(
                f"convolution {op.name}: weight {op.weight.name} is not a parameter of the network"
            )
        layer = Layer(op.outputs[0].name, op.weight.name, op.x.name, int(op.weight.val.size))
        found[layer_name(parameter)] = layer
    return found


def kept_layers(layers: Mapping[str, Layer], recipe: Recipe) -> set[str]:
    """The layers that stay in float.

    Raises:
        ValueError: an entry of the recipe matches no layer.
    """
    for entry in recipe.keep:
        if not any(is_kept(name, (entry,)) for name in layers):
            raise ValueError(
                f"recipe keeps {entry!r} in float, but there is no such layer; layers are "
                f"{', '.join(list(layers)[:3])} ... {list(layers)[-1]}"
            )
    return {name for name in layers if is_kept(name, recipe.keep)}


def int8_layers(layers: Mapping[str, Layer], recipe: Recipe) -> list[str]:
    """The layers whose weights are stored in 8 bits."""
    kept = kept_layers(layers, recipe)
    threshold = weight_threshold(recipe)
    return [
        name for name, layer in layers.items() if name not in kept and layer.weight_size > threshold
    ]


def weight_threshold(recipe: Recipe) -> int:
    """Weights with at most this many elements stay float16."""
    return SMALL_WEIGHT if recipe.scheme.activation_bits is None else 0
