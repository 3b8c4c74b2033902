"""Converts between `Runner.infer`'s arrays and an artifact's input and output format.

``infer`` takes and returns float32 NCHW in [-1, 1]; an artifact may have float16, or uint8 NHWC.
"""

from __future__ import annotations

import numpy as np

from .artifact import TensorSpec

_MIDDLE = 127.5


def to_io_format(image: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """float32 (N, 3, H, W) in [-1, 1] -> the type and layout of ``spec``, C-contiguous.

    uint8 is rounded to the nearest level, so 8-bit pictures pass unchanged.
    """
    if spec.dtype == "uint8":
        image = np.rint((image + 1.0) * _MIDDLE).clip(0, 255)
    if spec.layout == "NHWC":
        image = image.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(image, dtype=np.dtype(spec.dtype))


def from_io_format(output: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The inverse of `to_io_format`: float32 (N, 3, H, W) in [-1, 1], C-contiguous."""
    if spec.layout == "NHWC":
        output = output.transpose(0, 3, 1, 2)
    floats = np.ascontiguousarray(output, dtype=np.float32)
    return floats / np.float32(_MIDDLE) - np.float32(1.0) if spec.dtype == "uint8" else floats
