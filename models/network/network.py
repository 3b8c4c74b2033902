"""The seam: what export, quantisation, tiling, benchmarks and training must know of a network.

Names of layers and tensors stand here as data; nothing outside ``models/`` knows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .widths import Widths

if TYPE_CHECKING:
    from torch import nn

    from .fusion_points import Fused
    from .generator import Generator

NO_NORM = "none"


@dataclass(frozen=True)
class Form:
    """Which of a network's forms to build.

    Attributes:
        decoder_norm: ``batch``, ``instance``, or ``none`` for a network without norms.
        dead_features: Also hold the layers of `Network.dead`.
        widths: The architecture record; None for the default, or for networks without one.
    """

    decoder_norm: str
    dead_features: bool
    widths: Widths | None


def _as_they_are(state: Mapping[str, Any]) -> dict[str, Any]:
    return dict(state)


@dataclass(frozen=True)
class Network:
    """A network, as everything else sees it.

    Norms are `norm.BatchNorm` or `norm.InstanceNorm`, each right after its convolution in an
    ``nn.Sequential``; so they fold, and live ones are decomposed, without further description.

    Attributes:
        name: On the command line (``--backbone``); also its file's or entry point's name.
        title: In tables and messages.
        build: A generator of a form, with fresh random weights.
        size_multiple: Sides of pictures are multiples of this, in pixels.
        smallest_side: The smallest side of a picture, a multiple of ``size_multiple``.
        receptive_radius_px: The largest distance from an output pixel to an input pixel it depends
            on with frozen norms, by the architecture record. None if unknown: tiles then overlap
            as for live norms.
        marks: Tensors that tell a file without header; () for networks known by their header.
        norms: Whether there are norms.
        norm_mark: A tensor that only networks with affine (``batch``) norms hold.
        renamed: Other layouts' tensors under this network's names; aliases are left out.
        dead: How the names of tensors begin that files store and inference never touches.
        pretrained: The layer that holds the backbone: training may rest it at first, and the
            papers' tables count its work twice. Empty if there is none.
        last: The layer whose weights, at zero, make the residual zero. Empty if there is none.
        fusion_points: The prepared network (folded, trimmed) with its decoder as fusion points,
            which `export.rewrites` can rewrite; None where there is nothing to rewrite.
        widths: The default architecture record; None for networks of one form.
    """

    name: str
    title: str
    build: Callable[[Form], Generator]
    size_multiple: int
    smallest_side: int
    receptive_radius_px: Callable[[Widths | None], int] | None = None
    marks: tuple[str, ...] = ()
    norms: bool = True
    norm_mark: str = ""
    renamed: Callable[[Mapping[str, Any]], dict[str, Any]] = _as_they_are
    dead: tuple[str, ...] = ()
    pretrained: str = ""
    last: str = ""
    fusion_points: Callable[[nn.Module], Fused] | None = None
    widths: Widths | None = None

    @property
    def single_pixel_maps(self) -> bool:
        """Whether the smallest picture's smallest maps are one pixel, which has no variance."""
        return self.norms and self.smallest_side == self.size_multiple

    @property
    def smallest_side_of_free_size(self) -> int | None:
        """``smallest_side`` where it is more than ``size_multiple``, else None."""
        return self.smallest_side if self.smallest_side > self.size_multiple else None

    def decoder_norm(self, names: Mapping[str, Any]) -> str:
        """The kind of norms of a state with these tensors."""
        if not self.norms:
            return NO_NORM
        return "batch" if self.norm_mark in names else "instance"

    def pretrained_part(self, generator: nn.Module) -> nn.Module | None:
        """The layer that `pretrained` names."""
        return generator.get_submodule(self.pretrained) if self.pretrained else None

    def is_dead(self, tensor: str) -> bool:
        """Whether inference never touches this tensor."""
        return tensor.startswith(self.dead) if self.dead else False

    def check_size(self, height: int, width: int) -> None:
        """ValueError unless both sides, in pixels, suit the network."""
        text, step = f"{height}x{width}", self.size_multiple
        if height % step or width % step:
            up = "x".join(str(-(-side // step) * step) for side in (height, width))
            raise ValueError(
                f"{text}: both sides must be multiples of {step}; the next larger is {up}"
            )
        if min(height, width) < self.smallest_side:
            raise ValueError(f"{text}: {self.name} needs sides of {self.smallest_side} or more")
