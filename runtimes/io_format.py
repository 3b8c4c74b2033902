"""Converts between the runners' format and the artifact's own input and output format.

`Runner.infer` works on float32 NCHW in [-1, 1]; an artifact may use float16, or uint8 NHWC.
"""

from __future__ import annotations

import numpy as np

from .artifact import TensorSpec

_MIDDLE = 127.5


def to_io_format(image: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """float32 (N, 3, H, W) in [-1, 1] -> layout and dtype of ``spec``, C-contiguous.

    For uint8, values are rounded to the nearest level, so 8-bit pictures do not change.
    """
    if spec.dtype == "uint8":
        image = np.rint((image + 1.0) * _MIDDLE).clip(0, 255)
    if spec.layout == "NHWC":
        image = image.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(image, dtype=np.dtype(spec.dtype))


def from_io_format(output: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Layout and dtype of ``spec`` -> float32 (N, 3, H, W) in [-1, 1], C-contiguous."""
    if spec.layout == "NHWC":
        output = output.transpose(0, 3, 1, 2)
    whole = np.ascontiguousarray(output, dtype=np.float32)
    return whole / np.float32(_MIDDLE) - np.float32(1.0) if spec.dtype == "uint8" else whole
