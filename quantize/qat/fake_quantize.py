"""Fake quantisation for quantisation-aware training: the generator computes as in int8.

Every convolution gets its input and its weight rounded to 8 bits, with straight-through gradients
(`torch.fake_quantize_per_tensor_affine`). The checkpoint stays float and is exported like any
other. Norms need no folding: folding scales a convolution's output channels, and symmetric
rounding with one scale per output channel is invariant to that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ...models.checkpoints.layer_names import layer_name
from ..ptq.observers import LEVELS, Range, observe
from ..recipe import Recipe, is_kept

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

_INT8_MAX = 127
_VALUES = 20_000  # kept of each picture for the observer


@dataclass(frozen=True)
class InputQuantisation:
    """8-bit rounding of an input: ``scale * (clip(round(x / scale) + zero, 0, 255) - zero)``."""

    scale: float
    zero: int

    @staticmethod
    def of(low: float, high: float) -> InputQuantisation:
        """256 levels from ``low`` to ``high``; the range must hold 0."""
        scale = max((high - low) / (LEVELS - 1), 1e-12)
        return InputQuantisation(scale, int(np.rint(-low / scale)))


def fake_quantise(generator: nn.Module, pictures: Iterable[Tensor], recipe: Recipe) -> int:
    """Make a generator compute as in int8, in place; returns the number of convolutions.

    Args:
        generator: With frozen norms; its parameters and their names do not change.
        pictures: float32 (N, 3, H, W) in [-1, 1], to calibrate the ranges.
        recipe: Observer and layers that stay float.

    Raises:
        ValueError: no pictures, activations that are not finite, or a recipe without 8-bit
            activations.
    """
    if recipe.scheme.activation_bits != 8 or not recipe.scheme.per_channel:
        raise ValueError(
            f"quantisation-aware training needs static_w8a8_perchannel, not {recipe.name}"
        )
    convs = _convolutions(generator, recipe)
    ranges = _input_ranges(generator, convs, pictures, recipe)
    for name, conv in convs.items():
        rounding = InputQuantisation.of(*ranges[name])
        # Set on the instance, which leaves the state dict and its names unchanged.
        conv.__dict__["forward"] = functools.partial(_rounded_forward, conv, rounding)
    return len(convs)


@contextmanager
def in_float(generator: nn.Module) -> Generator[None]:
    """Compute in float inside the block, as before `fake_quantise`."""
    held = {conv: conv.__dict__.pop("forward") for conv in generator.modules()
            if isinstance(conv, nn.Conv2d) and "forward" in conv.__dict__}  # fmt: skip
    try:
        yield
    finally:
        for conv, forward in held.items():
            conv.__dict__["forward"] = forward


def rounded_weight(weight: Tensor) -> Tensor:
    """A weight (O, I, h, w) rounded to 255 levels per output channel, ``scale = max |w| / 127``."""
    largest = weight.detach().abs().amax(dim=(1, 2, 3))
    scale = torch.where(largest == 0, torch.ones_like(largest), largest) / _INT8_MAX
    zero = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -_INT8_MAX, _INT8_MAX)


def _rounded_forward(conv: nn.Conv2d, rounding: InputQuantisation, image: Tensor) -> Tensor:
    image = torch.fake_quantize_per_tensor_affine(
        image, rounding.scale, rounding.zero, 0, LEVELS - 1
    )
    forward: Callable[[Tensor, Tensor, Tensor | None], Tensor] = conv._conv_forward  # pyright: ignore[reportPrivateUsage]
    return forward(image, rounded_weight(conv.weight), conv.bias)


def _convolutions(generator: nn.Module, recipe: Recipe) -> dict[str, nn.Conv2d]:
    return {
        name: module
        for name, module in generator.named_modules()
        if isinstance(module, nn.Conv2d) and not is_kept(layer_name(name), recipe.keep)
    }


@torch.no_grad()
def _input_ranges(
    generator: nn.Module,
    convs: dict[str, nn.Conv2d],
    pictures: Iterable[Tensor],
    recipe: Recipe,
) -> dict[str, Range]:
    seen: dict[str, list[tuple[float, float, np.ndarray]]] = {name: [] for name in convs}

    def watch(name: str) -> RemovableHandle:
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            image = inputs[0].detach().float()
            flat = image.flatten()[:: max(image.numel() // _VALUES, 1)].cpu().numpy()
            seen[name].append((float(image.min()), float(image.max()), flat))

        return convs[name].register_forward_pre_hook(note)

    handles = [watch(name) for name in convs]
    training = generator.training
    generator.eval()
    try:
        for picture in pictures:
            generator(picture)
    finally:
        generator.train(training)
        for handle in handles:
            handle.remove()
    if not all(seen.values()):
        raise ValueError("no calibration pictures for quantisation-aware training")
    return {name: _range(rows, recipe) for name, rows in seen.items()}


def _range(rows: list[tuple[float, float, np.ndarray]], recipe: Recipe) -> Range:
    low, high = min(row[0] for row in rows), max(row[1] for row in rows)
    values = np.concatenate([row[2] for row in rows])
    return observe(recipe.observer, values, low, high, percentile=recipe.percentile)
