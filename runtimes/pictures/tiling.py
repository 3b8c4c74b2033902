"""Deblurs pictures of any size with a network of fixed size: pad, tile, blend, crop.

Shapes: H, W = pixels of the picture; h, w = pixels of a tile; 3 = RGB.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .tile_plan import PAPER, TilePlan, TilingOptions, axis_weights, plan_tiles

__all__ = ["Infer", "Progress", "TilingOptions", "deblur_picture"]

Infer = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[int, int], None]


def deblur_picture(
    infer: Infer,
    picture: np.ndarray,
    *,
    size: tuple[int, int] | None,
    multiple: int,
    receptive_radius_px: int | None,
    options: TilingOptions,
    progress: Progress | None = None,
    smallest: int | None = None,
) -> np.ndarray:
    """Deblur a picture of any size, from 1x1 pixels.

    Protocol ``edge`` reflects the picture's right and bottom edge up to the next multiple (or the
    artifact's size), cuts larger pictures into tiles, and rounds to nearest.

    Protocol ``paper`` does as DeblurGAN-v2's ``predict.py``: normalise to [-1, 1], **then** pad
    with zeros, which are mid-grey and not black, right and bottom to ``(side // 32 + 1) * 32``;
    one pass; ``(x + 1) / 2 * 255`` in float32, truncated. Truncation darkens: even an identity
    network returns 103 of the 256 grey levels one lower. 8-bit pictures only; never tiles.

    Memory: one row of tiles in float32, never the whole picture.

    Args:
        infer: Takes and returns float32 (1, 3, h, w) in [-1, 1]; its input buffer is reused for
            every tile, and its output is read before the next call.
        picture: uint8 or uint16 (H, W, 3), RGB.
        size: Fixed ``(height, width)`` of ``infer``; None: any multiples.
        multiple: The network's total stride, 32: sides and tile positions are multiples of it.
        receptive_radius_px: Radius of the receptive field; None: the whole picture (live norms).
        options: See `TilingOptions`.
        progress: Called with (tiles done, number of tiles) after each tile.
        smallest: The network's smallest side in pixels, a multiple of ``multiple``; None: that.

    Returns:
        The same shape and dtype.

    Raises:
        TypeError: not a uint8 or uint16 array.
        ValueError: wrong shape, or the options do not fit the artifact or the picture.
    """
    _check(picture, options)
    height, width = picture.shape[:2]
    plan = plan_tiles(
        height,
        width,
        size=size,
        multiple=multiple,
        receptive_radius_px=receptive_radius_px,
        options=options,
        smallest=smallest,
    )
    picture = np.ascontiguousarray(picture)
    report = progress or _ignore
    if options.protocol == PAPER:
        result = _deblur_paper(infer, picture, plan)
        report(1, 1)
        return result
    source = _pad(picture, plan.padded)
    if plan.count > 1:
        return _deblur_tiles(infer, source, picture.shape, plan, receptive_radius_px, report)
    image = np.empty((1, 3, *plan.padded), np.float32)
    _normalise(source, image[0])
    output = infer(image)
    result = np.empty_like(picture)
    _denormalise(output[0, :, :height, :width], result)
    report(1, 1)
    return result


def _ignore(_done: int, _total: int) -> None:
    """Report no progress."""


def _check(picture: np.ndarray, options: TilingOptions) -> None:
    if picture.dtype != np.uint8 and picture.dtype != np.uint16:
        raise TypeError(f"a picture must be uint8 or uint16, not {picture.dtype}")
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture must have shape (H, W, 3), not {picture.shape}")
    if options.protocol == PAPER and picture.dtype != np.uint8:
        raise ValueError("protocol 'paper' is defined for 8-bit pictures; use --protocol edge")


def _deblur_tiles(
    infer: Infer,
    source: np.ndarray,
    shape: tuple[int, ...],
    plan: TilePlan,
    radius: int | None,
    report: Callable[[int, int], None],
) -> np.ndarray:
    """Blend tiles row by row into an array of ``shape``; ``source`` is the padded picture."""
    tile_height, tile_width = plan.tile
    row_weights = axis_weights(plan.rows, tile_height, radius)
    column_weights = axis_weights(plan.columns, tile_width, radius)
    image = np.empty((1, 3, tile_height, tile_width), np.float32)
    # Weighted sums of the rows that the current row of tiles covers, (3, h, padded width).
    band = np.zeros((3, tile_height, plan.padded[1]), np.float32)
    result = np.empty(shape, source.dtype)
    done = 0
    for i, top in enumerate(plan.rows):
        for left, columns in zip(plan.columns, column_weights, strict=True):
            part = source[top : top + tile_height, left : left + tile_width]
            _normalise(part, image[0])
            output = infer(image)
            weights = row_weights[i][:, None] * columns
            _accumulate(output[0], weights, band[:, :, left : left + tile_width])
            done += 1
            report(done, plan.count)
        # No later tile starts above the next top, so everything above that is final.
        last = i + 1 == len(plan.rows)
        finished = tile_height if last else plan.rows[i + 1] - top
        stop = min(top + finished, shape[0])
        _denormalise(band[:, : stop - top, : shape[1]], result[top:stop])
        if not last:
            band[:, : tile_height - finished] = band[:, finished:].copy()
            band[:, tile_height - finished :] = 0.0
    return result


def _deblur_paper(infer: Infer, picture: np.ndarray, plan: TilePlan) -> np.ndarray:
    height, width = picture.shape[:2]
    image = np.zeros((1, 3, *plan.padded), np.float32)
    # The reference multiplies by the reciprocal; a division would differ in the last bit and,
    # after truncation, by a whole grey level.
    pixels = picture.transpose(2, 0, 1).astype(np.float32)
    pixels -= np.float32(127.5)
    pixels *= np.reciprocal(np.float32(127.5))
    image[0, :, :height, :width] = pixels
    output = infer(image)[0, :, :height, :width]
    # Outside 0..255 the cast is undefined, so clip. The reference clamps in the network.
    values = np.clip((output + np.float32(1)) / np.float32(2) * np.float32(255), 0, 255)
    return np.ascontiguousarray(values.astype(np.uint8).transpose(1, 2, 0))


def _pad(picture: np.ndarray, padded: tuple[int, int]) -> np.ndarray:
    """Pad right and bottom by reflection without the edge pixel; repeats a side of 1 pixel."""
    bottom, right = padded[0] - picture.shape[0], padded[1] - picture.shape[1]
    if not bottom and not right:
        return picture
    return np.pad(picture, ((0, bottom), (0, right), (0, 0)), mode="reflect")


def _normalise(part: np.ndarray, planes: np.ndarray) -> None:
    """Integers (h, w, 3) to float32 (3, h, w) in [-1, 1], written into ``planes``."""
    levels = _network_levels(part.dtype)
    for channel, plane in enumerate(planes):
        np.take(levels, part[..., channel], out=plane, mode="clip")  # "clip" writes unbuffered


@functools.cache
def _network_levels(dtype: np.dtype[np.integer[Any]]) -> np.ndarray:
    """What each integer is for the network: ``x / half - 1``, rounded once, float32."""
    most = int(np.iinfo(dtype).max)
    scale = float(np.float32(2 / most))
    return (np.arange(most + 1, dtype=np.float64) * scale - 1.0).astype(np.float32)


def _denormalise(planes: np.ndarray, part: np.ndarray) -> None:
    """Float32 (3, h, w) in [-1, 1] to integers (h, w, 3), rounded and clipped, into ``part``."""
    most = int(np.iinfo(part.dtype).max)
    half = np.full(1, most / 2)  # an array, so that the arithmetic is float64
    for rows in _row_blocks(part.shape[0]):
        scaled = _multiply_add(planes[:, rows], half, half)
        np.rint(scaled, out=scaled)
        np.clip(scaled, 0, most, out=scaled)
        part[rows] = scaled.transpose(1, 2, 0)


def _accumulate(tile: np.ndarray, weights: np.ndarray, total: np.ndarray) -> None:
    """Add float32 (3, h, w) times (h, w) to ``total``, in place."""
    for rows in _row_blocks(tile.shape[1]):
        total[:, rows] = _multiply_add(tile[:, rows], weights[rows], total[:, rows])


def _multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """``a * b + c`` in float32, rounded once, whether or not the processor can do so itself."""
    product = np.multiply(a, b, dtype=np.float64)  # exact: 24 bits times 24 bits
    product += c
    return product.astype(np.float32)


def _row_blocks(height: int) -> list[slice]:
    """Rows in pieces that stay in a processor's cache between two passes over them."""
    return [slice(top, min(top + 16, height)) for top in range(0, height, 16)]
