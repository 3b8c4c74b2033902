"""TensorBoard output: losses as scalars, one validation picture as it improves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...runtimes.optional import require
from .validate import Example, restore


class Board:
    """A TensorBoard event file.

    Raises:
        MissingDependencyError: the package is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        require("tensorboard", extra="train")
        writer = require("torch.utils.tensorboard", extra="train").SummaryWriter
        # Events after the step that a run resumes from are dropped by TensorBoard itself.
        self._writer: Any = writer(str(folder), purge_step=step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point on each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(
        self, step: int, example: Example, generator: nn.Module, device: torch.device
    ) -> None:
        """Blurry, restored and sharp side by side."""
        training = generator.training
        generator.eval()
        restored = restore(generator, example.blurry, device)
        generator.train(training)
        row = np.concatenate([example.blurry, restored, example.sharp], axis=1)
        self._writer.add_image("validation", row, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still held back."""
        self._writer.close()
