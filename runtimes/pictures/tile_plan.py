"""Positions and blending weights of tiles. Pure arithmetic: no pictures, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

EDGE, PAPER = "edge", "paper"
PROTOCOLS = (EDGE, PAPER)

# Pixels that neighbouring tiles share by default.
DEFAULT_OVERLAP_PX = 128
FULL_OVERLAP = -1

# An artifact of dynamic size infers pictures of up to this area whole. Full HD just fits: with ONNX
# Runtime and MobileNet-DSC in fp32 the process then peaks at 1.0 GB, growing with the area.
WHOLE_UP_TO_PIXELS = 2 * 1024 * 1024
# Larger pictures are cut into tiles of at most this side: a fifth of each is overlap at the default
# overlap, and a 24-megapixel photograph peaks at 1.1 GB in all.
AUTO_TILE_PX = 1024

# Width of the cross-fade where the overlap is too small to leave out every pixel whose receptive
# field crosses the tile's border. Errors grow towards the border, so the fade is in the middle.
RAMP_PX = 32

# Weights are multiples of 1 / RAMP_STEPS: such products and sums are exact in float32, so the
# weights of all tiles add up to exactly 1.
RAMP_STEPS = 1024


@dataclass(frozen=True)
class TilingOptions:
    """How a picture is cut.

    Attributes:
        protocol: ``edge`` (reflect-pad right and bottom to the next multiple of 32, or to the
            artifact's size; round to integers) or ``paper`` (the reference's procedure, see
            `deblur_picture`).
        tile: Tile ``(height, width)`` in pixels for artifacts of dynamic size; None lets
            `plan_tiles` choose. Artifacts of fixed size use that size.
        overlap_px: Pixels that neighbouring tiles share, rounded up to a multiple of 32; None
            means `DEFAULT_OVERLAP_PX` (at most half a tile), and ``-1`` twice the receptive
            radius, which makes tiles exact for frozen norms.
    """

    protocol: str = EDGE
    tile: tuple[int, int] | None = None
    overlap_px: int | None = None


@dataclass(frozen=True)
class TilePlan:
    """How a picture is cut into tiles, in pixels; sizes are ``(height, width)``.

    Attributes:
        padded: Size after padding right and bottom.
        tile: Size of every tile.
        rows: Top of each row of tiles, ascending multiples of the network's multiple; the last
            row ends at the padded picture's edge.
        columns: The same for the left edges of columns.
    """

    padded: tuple[int, int]
    tile: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def plan_tiles(
    height: int,
    width: int,
    *,
    size: tuple[int, int] | None,
    multiple: int,
    receptive_radius_px: int | None,
    options: TilingOptions,
    smallest: int | None = None,
) -> TilePlan:
    """Decide padding and tiles for a picture of ``height`` x ``width`` pixels.

    Args:
        height: Picture height.
        width: Picture width.
        size: The artifact's fixed ``(height, width)``; None: any multiples.
        multiple: The network's total stride, 32: sides and tile positions are multiples of it.
        receptive_radius_px: Radius of the receptive field; None: the whole picture (live norms).
        options: See `TilingOptions`.
        smallest: The network's smallest side in pixels, a multiple of ``multiple``; None: that.

    Raises:
        ValueError: the options contradict each other or do not fit the artifact.
    """
    smallest = smallest or multiple
    if options.protocol == PAPER:
        return _paper_plan(height, width, size, multiple, options)
    if options.protocol != EDGE:
        raise ValueError(f"protocol must be {' or '.join(PROTOCOLS)}, not {options.protocol!r}")
    needed = _needed(height, multiple, smallest), _needed(width, multiple, smallest)
    nominal = _tile_size(needed, size, (multiple, smallest), options.tile)
    padded = max(needed[0], nominal[0]), max(needed[1], nominal[1])
    may_shrink = size is None and options.tile is None
    axes: list[tuple[int, tuple[int, ...]]] = []
    for side, tile in zip(padded, nominal, strict=True):
        if side == tile:
            axes.append((tile, (0,)))
            continue
        overlap = _overlap(tile, multiple, receptive_radius_px, options.overlap_px)
        steps = math.ceil((side - tile) / (tile - overlap))
        if may_shrink:  # the smallest tile for the same number of tiles: less is computed twice
            tile = _round_up(math.ceil((side + steps * overlap) / (steps + 1)), multiple)
        axes.append((tile, _origins(side, tile, steps, multiple)))
    (tile_height, rows), (tile_width, columns) = axes
    return TilePlan(padded, (tile_height, tile_width), rows, columns)


def axis_weights(
    origins: Sequence[int], tile: int, receptive_radius_px: int | None
) -> list[np.ndarray]:
    """Blending weights of each tile along one axis.

    Where the overlap is large enough, a tile has weight 0 within ``receptive_radius_px`` of a
    border that it shares: there its receptive field held padding instead of picture. Between those
    margins neighbours cross-fade linearly. In a smaller overlap the fade is `RAMP_PX` wide and
    centred.

    Args:
        origins: First pixel of each tile, ascending; neighbours touch or overlap.
        tile: Tile side in pixels.
        receptive_radius_px: None: larger than any overlap.

    Returns:
        One float32 array of shape (tile,) per origin, in [0, 1]; at each
        pixel the weights of all tiles sum to exactly 1.
    """
    centres = np.arange(origins[-1] + tile) + 0.5  # of pixels
    # rise[i] is the weight of tile i and all after it, so tile i's own is rise[i] - rise[i + 1].
    rise = [np.ones_like(centres)]
    for left, right in pairwise(origins):
        overlap = left + tile - right
        if receptive_radius_px is not None and overlap >= 2 * receptive_radius_px:
            margin = receptive_radius_px
        else:
            margin = max(0, (overlap - RAMP_PX) // 2)
        start, stop = right + margin, left + tile - margin
        # Without room for a ramp it is a step; centres are at half pixels, so none is on its edge.
        ramp = np.clip((centres - start) / max(stop - start, 1e-6), 0.0, 1.0)
        rise.append(np.round(ramp * RAMP_STEPS) / RAMP_STEPS)
    rise.append(np.zeros_like(centres))
    return [
        (rise[i] - rise[i + 1])[origin : origin + tile].astype(np.float32)
        for i, origin in enumerate(origins)
    ]


def _paper_plan(
    height: int,
    width: int,
    size: tuple[int, int] | None,
    multiple: int,
    options: TilingOptions,
) -> TilePlan:
    if options.tile is not None or options.overlap_px is not None:
        raise ValueError("protocol 'paper' never tiles; leave out --tile and --overlap")
    padded = (height // multiple + 1) * multiple, (width // multiple + 1) * multiple
    if size is not None and size != padded:
        raise ValueError(
            f"protocol 'paper' pads {height}x{width} (HxW) to {padded[0]}x{padded[1]}, but the "
            f"artifact takes {size[0]}x{size[1]}; export it with --size {padded[0]}x{padded[1]} "
            "or use --protocol edge"
        )
    return TilePlan(padded, padded, (0,), (0,))


def _tile_size(
    needed: tuple[int, int],
    size: tuple[int, int] | None,
    allowed: tuple[int, int],
    requested: tuple[int, int] | None,
) -> tuple[int, int]:
    """The tile's (height, width); ``allowed`` are the network's multiple and smallest side."""
    multiple, smallest = allowed
    if size is not None:
        if requested is not None and requested != size:
            raise ValueError(
                f"the artifact takes {size[0]}x{size[1]} (HxW) only, so tiles cannot be "
                f"{requested[0]}x{requested[1]}; leave out --tile or export with another --size"
            )
        return size
    if requested is not None:
        if min(requested) < smallest or requested[0] % multiple or requested[1] % multiple:
            valid = [_needed(side, multiple, smallest) for side in requested]
            least = f", at least {smallest}" if smallest > multiple else ""
            raise ValueError(
                f"tile sides must be multiples of {multiple}{least}, not "
                f"{requested[0]}x{requested[1]}; take {valid[0]}x{valid[1]}"
            )
        return min(requested[0], needed[0]), min(requested[1], needed[1])
    if needed[0] * needed[1] <= WHOLE_UP_TO_PIXELS:
        return needed
    return min(AUTO_TILE_PX, needed[0]), min(AUTO_TILE_PX, needed[1])


def _overlap(tile: int, multiple: int, radius: int | None, requested: int | None) -> int:
    """The overlap in pixels along an axis with several tiles."""
    if requested is None:
        return min(_round_up(DEFAULT_OVERLAP_PX, multiple), tile // 2 // multiple * multiple)
    if requested == FULL_OVERLAP:
        if radius is None:
            raise ValueError(
                "the artifact's norms are live, so each pixel depends on the whole picture and no "
                "overlap makes tiles exact; name an overlap in pixels or export with frozen norms"
            )
        requested = 2 * radius
    if requested < 0:
        raise ValueError(f"overlap must be 0 or more pixels, or -1 (full), not {requested}")
    overlap = _round_up(requested, multiple)
    if overlap >= tile:
        raise ValueError(
            f"an overlap of {overlap} px does not fit tiles of {tile} px; "
            f"take tiles of {overlap + multiple} px or more, or a smaller overlap"
        )
    return overlap


def _origins(side: int, tile: int, steps: int, multiple: int) -> tuple[int, ...]:
    """Origins spread evenly from 0 to ``side - tile``, rounded down to the multiple."""
    units = (side - tile) // multiple
    return tuple(i * units // steps * multiple for i in range(steps + 1))


def _needed(side: int, multiple: int, smallest: int) -> int:
    return max(_round_up(side, multiple), smallest)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
