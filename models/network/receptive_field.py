"""The receptive field, from the network's structure.

Interval arithmetic backwards: the input pixels behind output pixels [a, b] are
[a*s - p, b*s - p + k - 1] for a convolution (kernel k, stride s, padding p) and
[floor(a/r), floor(b/r)] for nearest enlargement by r (Araujo, Norris, Sim, "Computing Receptive
Fields of Convolutional Neural Networks", Distill 2019, for the general case).
"""

from __future__ import annotations

from torch import nn

from .backbone import Backbone
from .generator import SIZE_MULTIPLE
from .registry import get_backbone
from .widths import Widths

Interval = tuple[int, int]


def receptive_radius_px(backbone: str, widths: Widths | None = None) -> int:
    """Largest distance, in pixels, from an output pixel to an input pixel it depends on.

    The same for dense and separable convolutions; the worst over all positions modulo 32.
    Holds for frozen norms only: live statistics depend on every pixel. ``widths`` is the
    architecture record, which may leave layers out; None for the backbone's default.
    """
    radius = 0
    for position in range(SIZE_MULTIPLE):
        low, high = input_interval(backbone, position, widths)
        radius = max(radius, position - low, high - position)
    return radius


def input_interval(backbone: str, position: int, widths: Widths | None = None) -> Interval:
    """First and last input row (or column) that output row ``position`` depends on.

    The picture's borders are ignored, so the first may be negative.
    """
    found = get_backbone(backbone)
    return _trace_back(found, widths or found.widths, (position, position))


def _trace_back(backbone: Backbone, widths: Widths, full: Interval) -> Interval:
    """Input interval behind an output interval, following `Generator.forward` backwards."""
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
    needed_below = needed[4]
    for level in (4, 3, 2, 1, 0):
        needed_below = _union(needed_below, needed[level])
        for layer in reversed(layers[slice(*backbone.stages[level])]):
            needed_below = _layer(layer, needed_below)
    return needed_below


def _layer(layer: nn.Module, interval: Interval) -> Interval:
    """Through a chain of convolutions and pools; an identity beside it never sees further."""
    windows = [m for m in layer.modules() if isinstance(m, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))]
    low, high = interval
    for window in reversed(windows):
        kernel, stride, padding = (
            _side(value) for value in (window.kernel_size, window.stride, window.padding)
        )
        low, high = low * stride - padding, high * stride - padding + kernel - 1
    return low, high


def _side(value: object) -> int:
    """Of a size that PyTorch keeps as one number or as (height, width): the height."""
    height = value[0] if isinstance(value, tuple) else value
    assert isinstance(height, int), value
    return height


def _conv(interval: Interval) -> Interval:
    """3x3, padding 1."""
    return interval[0] - 1, interval[1] + 1


def _shrink(interval: Interval, factor: int) -> Interval:
    return interval[0] // factor, interval[1] // factor


def _union(first: Interval, second: Interval) -> Interval:
    return min(first[0], second[0]), max(first[1], second[1])
