"""Counts parameters and operations of a TFLite graph from its operators; see `counts`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...runtimes.run_tflite.tflite_file import CONVOLUTIONS, TfliteFile
from .counts import Counts

_PER_OUTPUT = frozenset(
    {"ADD", "SUB", "MUL", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "RESIZE_NEAREST_NEIGHBOR"}
)


def count_tflite(path: Path) -> Counts:
    """Count a file at its own fixed size.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    file = TfliteFile.read(path)
    dequantised = {
        int(operator.outputs[0]): int(operator.inputs[0])
        for operator in file.operators
        if file.kind(operator) == "DEQUANTIZE"
    }
    params = macs = extra = 0
    for operator in file.operators:
        kind = file.kind(operator)
        written = math.prod(file.shape(int(operator.outputs[0])))
        if kind in _PER_OUTPUT:
            extra += written
        if kind in CONVOLUTIONS:
            macs += _macs(file, operator, kind, written)
            held = [dequantised.get(int(t), int(t)) for t in _weights(operator, kind)]
            params += sum(math.prod(file.shape(tensor)) for tensor in held)
            extra += written  # the bias
        if getattr(operator.builtinOptions, "fusedActivationFunction", 0):
            extra += written
    return Counts(params, macs, macs + extra)


def _weights(operator: Any, kind: str) -> list[int]:  # noqa: ANN401 - schema object
    places = (1, 3) if kind == "TRANSPOSE_CONV" else (1, 2)
    return [int(operator.inputs[place]) for place in places if place < len(operator.inputs)]


def _macs(file: TfliteFile, operator: Any, kind: str, written: int) -> int:  # noqa: ANN401
    """Multiply-adds; weights are (out, h, w, in), of a depthwise convolution (1, h, w, channel)."""
    out, height, width, last = file.shape(int(operator.inputs[1]))
    if kind == "CONV_2D":
        return written * height * width * last
    if kind == "DEPTHWISE_CONV_2D":
        return written * height * width
    return math.prod(file.shape(int(operator.inputs[2]))) * height * width * out
