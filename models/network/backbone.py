"""The description of a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .widths import Widths

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """A backbone, as the pyramid uses it.

    Attributes:
        name: Its name on the command line; also its file's name.
        separable: Whether the decoder's 3x3 convolutions are depthwise separable.
        features: Builds the first n feature layers with the widths of a record. A layer that the
            record leaves out is an ``nn.Identity``, so that the others keep their numbers.
        stages: Five slices of the feature layers, at 1/2, 1/4, 1/8, 1/16 and 1/32.
        stage_streams: For each stage, which of the record's streams it ends in.
        widths: The default record.
        stored_features: Layers in released checkpoints, with those after the last stage, which
            inference does not use.
    """

    name: str
    separable: bool
    features: Callable[[int, Widths], nn.Sequential]
    stages: tuple[tuple[int, int], ...]
    stage_streams: tuple[int, ...]
    widths: Widths
    stored_features: int

    @property
    def live_features(self) -> int:
        """Layers that inference touches."""
        return self.stages[-1][1]

    def channels(self, widths: Widths | None = None) -> tuple[int, ...]:
        """Channels after each stage, by ``widths`` or the default record."""
        return tuple((widths or self.widths).streams[index] for index in self.stage_streams)
