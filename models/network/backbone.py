"""The description of a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .widths import Widths

if TYPE_CHECKING:
    from torch import Tensor, nn


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
        marks: Tensors that tell a released file, which has no header; () if none was released.
        title: In tables and messages; empty for the name.
        attribute: The backbone's layer in released checkpoints: ``fpn.<attribute>``.
        layer_names: Of ``stored_features`` layers, where they are not numbered.
        pads: For each stage, pixels of reflection that its map lacks at its left, right, top and
            bottom; () for backbones that pad by themselves.
        smallest_side: Of pictures, in pixels.
        fixed: Whether its own layers have one width each, whatever a record says.
    """

    name: str
    separable: bool
    features: Callable[[int, Widths], nn.Sequential]
    stages: tuple[tuple[int, int], ...]
    stage_streams: tuple[int, ...]
    widths: Widths
    stored_features: int
    marks: tuple[str, ...] = ()
    title: str = ""
    attribute: str = "features"
    layer_names: tuple[str, ...] = ()
    pads: tuple[tuple[int, int, int, int], ...] = ()
    smallest_side: int = 32
    fixed: bool = False

    @property
    def live_features(self) -> int:
        """Layers that inference touches."""
        return self.stages[-1][1]

    @property
    def dead(self) -> tuple[str, ...]:
        """How the names of tensors begin that inference does not touch."""
        names = self.layer_names or tuple(str(i) for i in range(self.stored_features))
        return tuple(f"fpn.{self.attribute}.{name}." for name in names[self.live_features :])

    def padded(self, image: Tensor, level: int) -> Tensor:
        """(N, C, h, w) of a stage -> (N, C, H/s, W/s), s = 2, 4, 8, 16, 32."""
        if not self.pads:
            return image
        import torch.nn.functional as F

        return F.pad(image, self.pads[level], mode="reflect")

    def channels(self, widths: Widths | None = None) -> tuple[int, ...]:
        """Channels after each stage, by ``widths`` or the default record."""
        return tuple((widths or self.widths).streams[index] for index in self.stage_streams)
