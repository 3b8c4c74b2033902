"""Counts parameters and operations of an ncnn folder from its layers; see `counts`."""

from __future__ import annotations

import math
from pathlib import Path

from ...runtimes.run_ncnn.param_file import Layer, array_setting, parse_param
from ...runtimes.run_ncnn.runner import PARAM_FILE
from .counts import Counts

_CONVOLUTIONS = frozenset(
    {"Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"}
)
_PER_OUTPUT = frozenset({"BinaryOp", "Clip", "Interp", "ReLU", "TanH"})
_SAME_SHAPE = frozenset({"Clip", "ReLU", "TanH", "UnaryOp"})
_TO_THE_END = -233
Shape = tuple[int, int, int]  # channels, height, width


def count_ncnn(path: Path, size: tuple[int, int]) -> Counts:
    """Count a ``.ncnn`` folder for a picture of ``size`` (height, width).

    Raises:
        OSError: it cannot be read.
        ValueError: not such a folder, or a layer whose operations are not known.
    """
    file = path / PARAM_FILE
    layers = parse_param(file.read_text(encoding="utf-8"), origin=str(file))
    shapes: dict[str, Shape] = {}
    params = macs = extra = 0
    for layer in layers:
        read = [shapes[name] for name in layer.inputs]
        written = _output_shape(layer, read, size, str(file))
        shapes |= dict.fromkeys(layer.outputs, written)
        if layer.kind in _CONVOLUTIONS:
            weights, biases = layer.number(6), layer.number(0) * layer.number(5)
            params += weights + biases
            macs += _macs(layer, read[0], written)
            fused = layer.number(9) != 0
            extra += math.prod(written) * (int(biases > 0) + int(fused))
        elif layer.kind in _PER_OUTPUT:
            extra += math.prod(written)
    return Counts(params, macs, macs + extra)


def _macs(layer: Layer, read: Shape, written: Shape) -> int:
    """Every weight meets each pixel of the output, of a transposed convolution of the input."""
    pixels = read if layer.kind.startswith("Deconvolution") else written
    return layer.number(6) * pixels[1] * pixels[2]


def _output_shape(layer: Layer, read: list[Shape], size: tuple[int, int], origin: str) -> Shape:
    if layer.kind == "Input":
        return (3, *size)
    if layer.kind == "Split" or layer.kind in _SAME_SHAPE:
        return read[0]
    if layer.kind in _CONVOLUTIONS:
        return _convolved(layer, read[0])
    if layer.kind == "BinaryOp":
        return max(read, key=math.prod)
    if layer.kind == "Concat" and layer.number(0) == 0:
        return (sum(shape[0] for shape in read), read[0][1], read[0][2])
    channels, height, width = read[0] if read else (0, 0, 0)
    if layer.kind == "Interp" and {1, 2} <= layer.settings.keys():
        rows, columns = (float(layer.settings[axis]) for axis in (1, 2))
        return (channels, int(height * rows), int(width * columns))
    if layer.kind == "PixelShuffle":
        factor = layer.number(0, 1)
        return (channels // factor**2, height * factor, width * factor)
    if layer.kind == "Crop" and array_setting(layer, 11):
        return _cropped(layer, read[0])
    raise ValueError(f"{origin}: layer {layer.name}: {layer.kind} cannot be counted")


def _convolved(layer: Layer, read: Shape) -> Shape:
    """Settings: 1 and 11 kernel, 2 and 12 dilation, 3 and 13 stride, 4, 14, 15, 16 padding.

    The height's default is the width's, and the far side's the near side's.
    """
    sides: list[int] = []  # height, width
    for axis, length in ((10, read[1]), (0, read[2])):
        kernel = layer.number(1 + axis, layer.number(1))
        reach = (kernel - 1) * layer.number(2 + axis, layer.number(2, 1)) + 1
        stride = layer.number(3 + axis, layer.number(3, 1))
        left = layer.number(4)
        near = layer.number(14, left) if axis else left
        padding = near + layer.number(16 if axis else 15, near)
        if layer.kind.startswith("Deconvolution"):
            more = layer.number(19, layer.number(18)) if axis else layer.number(18)
            sides.append((length - 1) * stride + reach + more - padding)
        else:
            sides.append((length + padding - reach) // stride + 1)
    return (layer.number(0), sides[0], sides[1])


def _cropped(layer: Layer, read: Shape) -> Shape:
    """Arrays 9 starts, 10 ends, 11 axes; ends count from the far side where they are negative."""
    sides = list(read)
    places = (array_setting(layer, setting) for setting in (9, 10, 11))
    for start, end, axis in zip(*places, strict=True):
        stop = None if end == _TO_THE_END else int(end)
        sides[int(axis)] = len(range(read[int(axis)])[int(start) : stop])
    return (sides[0], sides[1], sides[2])
