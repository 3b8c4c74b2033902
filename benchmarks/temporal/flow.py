"""Optical flow between two frames, and where it can be trusted. H, W = pixels; flow is (H, W, 2).

The masks are those that Lai et al. ("Learning Blind Video Temporal Consistency", ECCV 2018) take
from Ruder et al. ("Artistic Style Transfer for Videos", GCPR 2016).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class FlowEstimator:
    """Dense flow by inverse search (Kroeger et al., ECCV 2016), OpenCV's preset MEDIUM."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, first: Picture, second: Picture) -> Flow:
        """Where each pixel of ``first`` is in ``second``: x and y offsets in pixels, float32.

        Args:
            first: uint8 (H, W, 3), RGB, at least 16 pixels a side.
            second: The same shape.
        """
        grey = [
            np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
            for picture in (first, second)
        ]
        # What is passed is where the search begins, and not only where the result goes.
        still = np.zeros((*grey[0].shape, 2), np.float32)
        return np.asarray(self._search.calc(grey[0], grey[1], still), dtype=np.float32)


def warped(picture: npt.NDArray[np.float32], flow: Flow) -> npt.NDArray[np.float32]:
    """``picture`` sampled bilinearly where the flow leads: float32 (H, W, C), the same shape."""
    x, y = _positions(flow)
    sampled = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32).reshape(picture.shape)


def visible(forward: Flow, backward: Flow) -> Mask:
    """Pixels of the first frame whose flow ends inside the second and agrees with the way back.

    Left out are also the borders of moving things, where flow is smeared.
    """
    height, width = forward.shape[:2]
    x, y = _positions(forward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    back = warped(backward, forward)
    apart = np.sum((forward + back) ** 2, axis=-1)
    lengths = np.sum(forward**2, axis=-1) + np.sum(back**2, axis=-1)
    agree = apart <= 0.01 * lengths + 0.5
    slopes = np.zeros((height, width), np.float32)
    for channel in range(2):
        for slope in np.gradient(forward[..., channel]):
            slopes += slope**2
    calm = slopes <= 0.01 * np.sum(forward**2, axis=-1) + 0.002
    return inside & agree & calm


def _positions(flow: Flow) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return (columns + flow[..., 0]).astype(np.float32), (rows + flow[..., 1]).astype(np.float32)
