"""What every source of layer outputs offers.

A layer is a convolution, named by `quantize.recipe.layer_name`, and its output is taken behind the
activation or the pixel shuffle that follows it, where there is one. So formats that fuse the two,
formats whose 8-bit range does the activation's work, and formats that shuffle pixels from other
channels compare with those that do not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np

Outputs = dict[str, np.ndarray]


class Taps(Protocol):
    """A network whose layers' outputs can be read."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read, each after all that it depends on."""
        ...

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """Outputs of the wanted layers, float32 NCHW.

        ``image`` is float32 (1, 3, H, W) in [-1, 1].
        """
        ...
