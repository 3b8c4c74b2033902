"""The description of a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """A backbone, as the pyramid uses it.

    Attributes:
        name: Its name on the command line; also its file's name.
        separable: Whether the decoder's 3x3 convolutions are depthwise separable.
        features: Builds the first n feature layers.
        stages: Five slices of the feature layers, at 1/2, 1/4, 1/8, 1/16 and 1/32.
        channels: Channels after each stage.
        stored_features: Layers in released checkpoints, with those after the last stage, which
            inference does not use.
    """

    name: str
    separable: bool
    features: Callable[[int], nn.Sequential]
    stages: tuple[tuple[int, int], ...]
    channels: tuple[int, ...]
    stored_features: int

    @property
    def live_features(self) -> int:
        """Layers that inference touches."""
        return self.stages[-1][1]
