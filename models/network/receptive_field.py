"""The receptive field of a network by name."""

from __future__ import annotations

from .registry import get_backbone, get_network
from .tracing import Interval, pyramid_interval
from .widths import Widths


def receptive_radius_px(backbone: str, widths: Widths | None = None) -> int | None:
    """Largest distance, in pixels, from an output pixel to an input pixel it depends on.

    None if the network does not tell. Holds for frozen norms only: live statistics depend on every
    pixel. ``widths`` is the architecture record, which may leave layers out; None for the default.
    """
    radius = get_network(backbone).receptive_radius_px
    return None if radius is None else radius(widths)


def input_interval(
    backbone: str, position: int, widths: Widths | None = None, *, axis: int = 0
) -> Interval:
    """First and last input row (axis 1: column) that a pyramid's output at ``position`` sees.

    The picture's borders are ignored, so the first may be negative.
    """
    found = get_backbone(backbone)
    return pyramid_interval(found, widths or found.widths, (position, position), axis)
