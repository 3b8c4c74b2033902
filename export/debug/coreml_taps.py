"""Layer outputs of Core ML packages, by this project's interpreter: emulated, also on a Mac."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.run_coreml.interpreter import MilProgram
from ...runtimes.run_coreml.runner import to_pixels
from .taps import Outputs

if TYPE_CHECKING:
    from torch import Tensor


class CoremlTaps:
    """Runs a package's program and keeps what is asked for.

    Args:
        path: The package.
        layers: Names to look for: Core ML writes letters, digits and underscores alone.
        pixels: Whether its input is a picture, of values 0 to 255.
    """

    def __init__(self, path: Path, layers: Collection[str], *, pixels: bool) -> None:
        self._program, self._pixels = MilProgram(path), pixels
        written = {_as_written(layer): layer for layer in layers}
        self._tensors: dict[str, str] = {}
        for weight, output in self._program.layers:
            layer = written.get(_written_layer(weight))
            if layer is not None:
                self._tensors[layer] = output

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order of the program."""
        return tuple(self._tensors)

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """See `Taps.run`."""
        import torch

        kept = {self._tensors[layer]: layer for layer in wanted}
        found: Outputs = {}

        def watch(name: str, value: Tensor) -> None:
            if name in kept:
                found[kept[name]] = value.float().numpy().copy()

        given = to_pixels(image).astype(np.float32) if self._pixels else image
        self._program.run({self._program.inputs[0]: torch.from_numpy(given)}, watch)
        return found


def _as_written(layer: str) -> str:
    return re.sub(r"\W", "_", layer)


def _written_layer(weight: str) -> str:
    """``network_fpn_features_0_0_weight_to_fp16`` -> ``features_0_0``."""
    name = weight.partition("_weight")[0]
    return name.removeprefix("network_").removeprefix("fpn_")
