"""TensorBoard output: losses as scalars, one validation picture as it improves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ....runtimes.optional import require
from ..validate import Example, restore


class Board:
    """A TensorBoard event file.

    Raises:
        MissingDependencyError: the package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require("tensorboard", extra="train")
        self._kind: Any = require("torch.utils.tensorboard", extra="train").SummaryWriter
        self._folder = folder
        self._opened: Any = None

    def _writer(self, step: int) -> Any:  # noqa: ANN401 - tensorboard ships no types
        """Opened at the first written step; later events of an interrupted run are dropped."""
        if self._opened is None:
            self._opened = self._kind(str(self._folder), purge_step=step)
        return self._opened

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point on each curve."""
        for name, value in values.items():
            self._writer(step).add_scalar(name, value, step)

    def pictures(
        self, step: int, example: Example, generator: nn.Module, device: torch.device
    ) -> None:
        """Blurry, restored and sharp side by side."""
        training = generator.training
        generator.eval()
        restored = restore(generator, example.blurry, device)
        generator.train(training)
        row = np.concatenate([example.blurry, restored, example.sharp], axis=1)
        self._writer(step).add_image("validation", row, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        if self._opened is not None:
            self._opened.close()
