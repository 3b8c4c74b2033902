"""Cuts the same crop out of a blurry and a sharp picture. Shapes: H, W = pixels, 3 = RGB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def aligned_crops(
    blurry: npt.NDArray[Scalar],
    sharp: npt.NDArray[Scalar],
    size: int | tuple[int, int],
    stride: int | None = None,
) -> Iterator[tuple[npt.NDArray[Scalar], npt.NDArray[Scalar]]]:
    """All crops of a grid, row by row, the same for both pictures; together they cover them.

    `size` is a side or (height, width) in pixels; `stride` the step in both directions (default:
    no overlap). The last row and column move inwards to stay inside. Crops are copies in the
    pictures' dtype.

    Raises ValueError if the pictures differ in shape, are not (H, W, 3), are smaller than `size`,
    or if `size` or `stride` is below 1 or `stride` would leave pixels uncovered.
    """
    height, width = _checked(blurry, sharp, size)
    step_y, step_x = (height, width) if stride is None else (stride, stride)
    if not (1 <= step_y <= height and 1 <= step_x <= width):
        raise ValueError(
            f"stride is {stride}; 1 to {min(height, width)} covers a picture with crops "
            f"of {height}x{width}"
        )
    return _grid(blurry, sharp, (height, width), (step_y, step_x))


def random_crop_pair(
    rng: np.random.Generator,
    blurry: npt.NDArray[Scalar],
    sharp: npt.NDArray[Scalar],
    size: int | tuple[int, int],
    flips: bool = True,
) -> tuple[npt.NDArray[Scalar], npt.NDArray[Scalar]]:
    """One crop at a place drawn from `rng`, the same for both, mirrored each way half the time.

    `size` is a side or (height, width) in pixels. With `flips`, left-right and up-down are drawn
    independently. Returns contiguous copies in the pictures' dtype.

    Raises ValueError if the pictures differ in shape, are not (H, W, 3) or are smaller than `size`.
    """
    height, width = _checked(blurry, sharp, size)
    top = int(rng.integers(0, blurry.shape[0] - height + 1))
    left = int(rng.integers(0, blurry.shape[1] - width + 1))
    step_y = -1 if flips and rng.random() < 0.5 else 1
    step_x = -1 if flips and rng.random() < 0.5 else 1
    rows, columns = slice(top, top + height), slice(left, left + width)
    return (
        np.array(blurry[rows, columns][::step_y, ::step_x], order="C"),
        np.array(sharp[rows, columns][::step_y, ::step_x], order="C"),
    )


def _checked(
    blurry: npt.NDArray[Scalar], sharp: npt.NDArray[Scalar], size: int | tuple[int, int]
) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"crop size is {height}x{width}; both sides must be at least 1 pixel")
    if blurry.shape != sharp.shape:
        raise ValueError(
            f"blurry is {blurry.shape} and sharp is {sharp.shape}; a pair has one shape"
        )
    if blurry.ndim != 3 or blurry.shape[2] != 3:
        raise ValueError(f"pictures have shape {blurry.shape}; expected (height, width, 3)")
    if blurry.shape[0] < height or blurry.shape[1] < width:
        raise ValueError(
            f"pictures of {blurry.shape[0]}x{blurry.shape[1]} are too small for crops of "
            f"{height}x{width}; use a smaller crop size"
        )
    return height, width


def _grid(
    blurry: npt.NDArray[Scalar],
    sharp: npt.NDArray[Scalar],
    size: tuple[int, int],
    step: tuple[int, int],
) -> Iterator[tuple[npt.NDArray[Scalar], npt.NDArray[Scalar]]]:
    for top in _starts(blurry.shape[0], size[0], step[0]):
        for left in _starts(blurry.shape[1], size[1], step[1]):
            window = slice(top, top + size[0]), slice(left, left + size[1])
            yield blurry[window].copy(), sharp[window].copy()


def _starts(length: int, size: int, step: int) -> list[int]:
    last = length - size
    return [*range(0, last, step), last]
