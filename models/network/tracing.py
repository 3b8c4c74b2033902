"""Interval arithmetic backwards through layers: which input pixels an output pixel depends on.

The input pixels behind output pixels [a, b] are [a*s - p, b*s - p + k - 1] for a convolution
(kernel k, stride s, padding p), [ceil((a + p - k + 1) / s), floor((b + p) / s)] for a transposed
one, and [floor(a/r), floor(b/r)] for nearest enlargement by r (Araujo, Norris, Sim, "Computing
Receptive Fields of Convolutional Neural Networks", Distill 2019, for the general case).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from .backbone import Backbone
from .widths import Widths

SIZE_MULTIPLE = 32  # the pyramid halves five times
Interval = tuple[int, int]


class Branched(nn.Module):
    """A layer of parallel parts, for `behind`: it sees what any of its parts sees."""

    def parts(self) -> list[nn.Module]:
        """The parallel parts, each a chain of layers; an empty chain sees its own position."""
        raise NotImplementedError


def largest_radius_px(interval: Callable[[int, int], Interval], period: int) -> int:
    """The largest distance from a position to an end of what it sees, in pixels.

    Args:
        interval: The input interval behind an output (position, axis), 0 for rows.
        period: Positions that are this far apart see alike.
    """
    radius = 0
    for axis in (0, 1):
        for position in range(period):
            low, high = interval(position, axis)
            radius = max(radius, position - low, high - position)
    return radius


def pyramid_radius_px(backbone: Backbone, widths: Widths | None = None) -> int:
    """The receptive radius of the pyramid over a backbone; the same for separable convolutions."""
    record = widths or backbone.widths
    return largest_radius_px(
        lambda position, axis: pyramid_interval(backbone, record, (position, position), axis),
        SIZE_MULTIPLE,
    )


def pyramid_interval(backbone: Backbone, widths: Widths, full: Interval, axis: int = 0) -> Interval:
    """Input interval behind an output interval, following `PyramidGenerator` backwards."""
    half = _shrink(_conv(full), 2)  # final, then x2: on smooth2's output, 1/2
    half = _conv(half)  # smooth2's input: lateral0 + x2 of smooth
    quarter = _conv(_shrink(half, 2))  # smooth's input: the concat, 1/4
    needed: dict[int, Interval] = {0: half}
    for level, factor in ((1, 1), (2, 2), (3, 4), (4, 8)):
        needed[level] = _conv(_shrink(quarter, factor))  # the head's last convolution
        if widths.heads[level - 1][0]:
            needed[level] = _conv(needed[level])
    for level in (1, 2, 3):  # td3, td2, td1: a map needs its lateral and the map below
        needed[level] = _conv(needed[level])
        needed[level + 1] = _union(needed[level + 1], _shrink(needed[level], 2))
    layers = list(backbone.features(backbone.live_features, widths))
    needed_below: Interval | None = None
    for level in (4, 3, 2, 1, 0):
        before = backbone.pads[level][0 if axis else 2] if backbone.pads else 0
        low, high = needed[level]
        here = (low - before, high - before)
        needed_below = here if needed_below is None else _union(needed_below, here)
        needed_below = behind(layers[slice(*backbone.stages[level])], needed_below, axis)
    assert needed_below is not None
    return needed_below


def behind(layers: Iterable[nn.Module], interval: Interval, axis: int = 0) -> Interval:
    """The interval before a chain of layers, of which one after it depends.

    A layer that is neither `Branched` nor a convolution or pool is a chain of its children. An
    identity beside it never sees further.
    """
    for layer in reversed(list(layers)):
        interval = _layer(layer, interval, axis)
    return interval


def _layer(layer: nn.Module, interval: Interval, axis: int) -> Interval:
    low, high = interval
    if isinstance(layer, Branched):
        seen = [behind([part], interval, axis) for part in layer.parts()]
        return min(low for low, _ in seen), max(high for _, high in seen)
    if isinstance(layer, nn.ReflectionPad2d):
        before = layer.padding[0 if axis else 2]
        return low - before, high - before
    if isinstance(layer, nn.ConvTranspose2d):
        kernel, stride, padding = _window(layer, axis)
        return -(-(low + padding - kernel + 1) // stride), (high + padding) // stride
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride, padding = _window(layer, axis)
        return low * stride - padding, high * stride - padding + kernel - 1
    return behind(layer.children(), interval, axis)


def _window(
    layer: nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d | nn.AvgPool2d, axis: int
) -> tuple[int, int, int]:
    """Kernel, stride and padding along an axis."""
    sides = (layer.kernel_size, layer.stride, layer.padding)
    kernel, stride, padding = (_side(value, axis) for value in sides)
    return kernel, stride, padding


def _side(value: object, axis: int) -> int:
    """Of a size that PyTorch keeps as one number or as (height, width)."""
    side = value[axis] if isinstance(value, tuple) else value
    assert isinstance(side, int), value
    return side


def _conv(interval: Interval) -> Interval:
    """3x3, padding 1."""
    return interval[0] - 1, interval[1] + 1


def _shrink(interval: Interval, factor: int) -> Interval:
    return interval[0] // factor, interval[1] // factor


def _union(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])
