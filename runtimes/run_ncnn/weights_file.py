"""Reads and writes ncnn's ``model.bin``: the layers' numbers, in the order of ``model.param``.

ncnn's wiki describes the format (github.com/Tencent/ncnn/wiki, param-and-model-file-structure),
`ModelBinFromDataReader` in its sources reads it. A convolution holds its weights behind a tag that
says how they are stored, padded to four bytes; then its biases, float32; and if its setting 8 is
not zero the scales of its weights, of its input and, above 100, of its output, float32. A value is
stored in 8 bits as ``round(value * scale)``, from -127 to 127.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .param_file import Layer

CONVOLUTIONS = frozenset(
    {"Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"}
)
HAS_BIAS, WEIGHTS, GROUPS, INT8 = 5, 6, 7, 8  # settings of a convolution
REQUANTISED = 100  # added to setting 8 where a layer writes 8 bits
_TYPES = {0: np.dtype("<f4"), 0x01306B47: np.dtype("<f2"), 0x000D4B38: np.dtype("i1")}
_TAGS = {kind: tag for tag, kind in _TYPES.items()}
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class Weights:
    """The numbers of one convolution.

    Attributes:
        weight: (n,) in the order output channel, input channel of the group, row, column; float32,
            float16 or int8.
        bias: float32 (output channels,), or None.
        scales: float32, empty unless the weights are int8: those of the weights, one for each
            output channel; of the input; and of the output where the layer writes 8 bits.
    """

    weight: np.ndarray
    bias: np.ndarray | None
    scales: tuple[np.ndarray, ...] = ()


def parse_weights(layers: Sequence[Layer], data: bytes, *, origin: str) -> dict[str, Weights]:
    """The numbers of all convolutions by the layer's name.

    Args:
        layers: Of the ``model.param`` beside it.
        data: Contents of a ``model.bin``.
        origin: The file's name, for errors.

    Raises:
        ValueError: too short or too long for these layers, or an unknown way of storing weights.
    """
    reader = _Reader(data, origin)
    found: dict[str, Weights] = {}
    for layer in layers:
        if layer.kind in CONVOLUTIONS:
            weight = reader.tagged(layer.number(WEIGHTS))
            bias = reader.floats(layer.number(0)) if layer.number(HAS_BIAS) else None
            scales = tuple(reader.floats(count) for count in _scale_counts(layer))
            found[layer.name] = Weights(weight, bias, scales)
    if reader.place != len(data):
        raise ValueError(f"{origin}: holds more than the convolutions' weights")
    return found


def weights_bytes(layers: Sequence[Layer], weights: Mapping[str, Weights]) -> bytes:
    """The file's bytes; `parse_weights` reads the same numbers from them."""
    parts: list[bytes] = []
    for layer in layers:
        if layer.kind not in CONVOLUTIONS:
            continue
        held = weights[layer.name]
        kind = held.weight.dtype.newbyteorder("<")
        stored = held.weight.astype(kind).tobytes()
        parts += [struct.pack("<I", _TAGS[kind]), stored, bytes(-len(stored) % 4)]
        floats = (*(() if held.bias is None else (held.bias,)), *held.scales)
        parts += [values.astype(_FLOAT).tobytes() for values in floats]
    return b"".join(parts)


def _scale_counts(layer: Layer) -> tuple[int, ...]:
    """How many scales of weights, input and output the layer holds."""
    term = layer.number(INT8)
    if not term:
        return ()
    depthwise = layer.kind == "ConvolutionDepthWise"
    weights = layer.number(GROUPS, 1) if depthwise and term % REQUANTISED == 1 else layer.number(0)
    return (weights, 1, 1) if term > REQUANTISED else (weights, 1)


class _Reader:
    """Takes arrays off a file, one after the other."""

    def __init__(self, data: bytes, origin: str) -> None:
        self._data, self._origin = data, origin
        self.place = 0

    def floats(self, count: int) -> np.ndarray:
        return self._take(count, _FLOAT)

    def tagged(self, count: int) -> np.ndarray:
        tag = int(self._take(1, np.dtype("<u4"))[0])
        if tag not in _TYPES:
            raise ValueError(f"{self._origin}: weights stored in an unknown way (tag {tag:#x})")
        values = self._take(count, _TYPES[tag])
        self.place += -values.nbytes % 4
        return values

    def _take(self, count: int, kind: np.dtype) -> np.ndarray:
        if self.place + count * kind.itemsize > len(self._data):
            raise ValueError(f"{self._origin}: too short for its layers")
        values = np.frombuffer(self._data, kind, count, self.place)
        self.place += values.nbytes
        return values
