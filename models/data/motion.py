"""Synthesises spatially varying motion blur from one sharp picture, while training.

An exposure is a sequence of moments; at each the camera has moved, rolled and zoomed a little, and
a part of the scene may move by itself. The moments' pictures are averaged, in linear light or in
the tone curve's values (GOPRO_Large offers both and its benchmark uses the latter; Nah et al.,
"Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017). The
sharp picture is the middle moment, as in GOPRO. Paths are smooth, as in the 30 to 60 ms of a video
exposure, or shaken (`blur.trajectory`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .blur import GAMMA, Floats, Picture, Shake, jpeg_round_trip, trajectory

_SHAKE_STEPS = 200  # `Shake.scale` is per step: 0.01 here bends a path as 0.001 does in 2000 steps
_SHAKE_SCALE = 0.01
_MOST_MOMENTS = 25
_TO_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
_TO_UNIT = (np.arange(256) / 255.0).astype(np.float32)
Values = npt.NDArray[np.float32]
Pose = Callable[[int], Values]


@dataclass(frozen=True)
class Motion:
    """The distribution of blurs: ranges to draw from. Shares are probabilities in [0, 1].

    Lengths are pixels of path at the crop's centre, drawn evenly in their logarithm.
    """

    length_min_px: float = 3.0
    length_max_px: float = 40.0
    still_share: float = 0.05  # pairs without motion: the network must not change them
    shake_share: float = 0.3  # the rest move smoothly
    roll_max_deg: float = 1.5
    zoom_max: float = 0.015
    moving_share: float = 0.25  # pairs in which a region moves by itself
    linear_share: float = 0.5  # averaged in linear light, gamma 2.2
    resize_share: float = 0.5  # pictures enlarged or reduced before, so that sharpness varies
    resize_min: float = 0.7
    resize_max: float = 1.4
    noise_share: float = 0.5
    noise_max: float = 2.5  # standard deviation in steps of [0, 255]
    jpeg_share: float = 0.3
    jpeg_min_quality: int = 70

    def __post_init__(self) -> None:
        for name in ("still", "shake", "moving", "linear", "resize", "noise", "jpeg"):
            share = getattr(self, f"{name}_share")
            if not 0 <= share <= 1:
                raise ValueError(f"{name}_share is {share}; shares are in [0, 1]")
        if not 0 < self.length_min_px <= self.length_max_px:
            raise ValueError(
                f"blur lengths {self.length_min_px} to {self.length_max_px} px are not a range"
            )
        if not 0 < self.resize_min <= self.resize_max:
            raise ValueError(f"resize {self.resize_min} to {self.resize_max} is not a range")
        if not 1 <= self.jpeg_min_quality <= 100:
            raise ValueError(f"jpeg_min_quality is {self.jpeg_min_quality}; it is 1 to 100")


def blurred_crop(
    rng: np.random.Generator, picture: Picture, size: tuple[int, int], motion: Motion
) -> tuple[Picture, Picture]:
    """A crop at a drawn place and scale, blurred by a drawn exposure: ``(blurry, sharp)``.

    `picture`: uint8 RGB (H, W, 3) of any size; where the crop or the motion leaves it, it is
    mirrored. `size`: the crop's (height, width). Both results are uint8 RGB of that size.
    """
    factor = 1.0
    if motion.resize_share and rng.random() < motion.resize_share:
        factor = math.exp(rng.uniform(math.log(motion.resize_min), math.log(motion.resize_max)))
    top, left = (
        int(rng.integers(0, max(side - crop, 0) + 1))
        for side, crop in zip(_resized_shape(picture, factor), size, strict=True)
    )
    if factor != 1.0:
        picture, (top, left) = _resized_part(picture, factor, (top, left), size, motion)
    sharp = _cut(picture, top, left, size)
    if rng.random() < motion.still_share:
        return _with_noise_and_jpeg(rng, sharp.copy(), motion), sharp
    blurry = _exposure(rng, picture, (top, left), size, motion)
    return _with_noise_and_jpeg(rng, blurry, motion), sharp


def _resized_shape(picture: Picture, factor: float) -> tuple[int, int]:
    if factor == 1.0:
        return picture.shape[0], picture.shape[1]
    height, width = (max(round(side * factor), 16) for side in picture.shape[:2])
    return height, width


def _resized_part(
    picture: Picture, factor: float, corner: tuple[int, int], size: tuple[int, int], motion: Motion
) -> tuple[Picture, tuple[int, int]]:
    """What an exposure of the crop reaches in the resized picture, and the crop's corner in it.

    Resizing whole pictures took a fifth of a crop's time. Where the part begins off the resized
    picture's grid, it lies less than a pixel beside it.
    """
    # As in `_scene`, and what a cubic kernel reaches.
    margin = math.ceil(motion.length_max_px) + 2 + math.ceil(2 * max(factor, 1.0))
    spans, starts = [], []
    for side, whole, at, crop in zip(
        picture.shape[:2], _resized_shape(picture, factor), corner, size, strict=True
    ):
        scale = whole / side
        first = max(math.floor((at - margin) / scale), 0)
        last = min(math.ceil((at + crop + margin) / scale), side)
        length = whole if last - first == side else round((last - first) * scale)
        spans.append((first, last, length))
        starts.append(min(round(at - first * scale), max(length - crop, 0)))
    (top, bottom, height), (left, right, width) = spans
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    part = cv2.resize(picture[top:bottom, left:right], (width, height), interpolation=how)
    return np.asarray(part, dtype=np.uint8), (starts[0], starts[1])


def _cut(picture: Picture, top: int, left: int, size: tuple[int, int]) -> Picture:
    window = picture[top : top + size[0], left : left + size[1]]
    below, right = size[0] - window.shape[0], size[1] - window.shape[1]
    if below or right:
        window = cv2.copyMakeBorder(window, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    return np.array(window, dtype=np.uint8, order="C")


def _exposure(
    rng: np.random.Generator,
    picture: Picture,
    corner: tuple[int, int],
    size: tuple[int, int],
    motion: Motion,
) -> Picture:
    linear = rng.random() < motion.linear_share
    length = _length(rng, motion)
    moves = rng.random() < motion.moving_share
    other_length = _length(rng, motion) if moves else 0.0
    moments = _moments(max(length, other_length))
    scene, offset = _scene(picture, corner, size, max(length, other_length), linear=linear)
    camera = _pose(rng, length, moments, size, offset, motion)
    shape = (size[1], size[0])  # OpenCV's order
    total = np.zeros((*size, 3), dtype=np.float32)
    if not moves:
        for moment in range(moments):
            total += _warp(scene, camera(moment), shape)
    else:
        mask = _mask(rng, scene.shape[:2], offset, size)
        moving = _pose(rng, other_length, moments, size, offset, motion)
        for moment in range(moments):
            behind, front = _warp(scene, camera(moment), shape), _warp(scene, moving(moment), shape)
            front -= behind
            front *= _warp(mask, moving(moment), shape)[..., None]
            total += behind
            total += front
    total *= 1.0 / moments
    if linear:
        total = total ** np.float32(1 / GAMMA)
    return np.rint(np.clip(total, 0, 1) * 255).astype(np.uint8)


def _length(rng: np.random.Generator, motion: Motion) -> float:
    return math.exp(rng.uniform(math.log(motion.length_min_px), math.log(motion.length_max_px)))


def _moments(length_px: float) -> int:
    """An odd number, at most a pixel of motion apart as long as that is affordable."""
    return min(2 * math.ceil((length_px + 1) / 2) + 1, _MOST_MOMENTS)


def _scene(
    picture: Picture,
    corner: tuple[int, int],
    size: tuple[int, int],
    length_px: float,
    *,
    linear: bool,
) -> tuple[Values, tuple[float, float]]:
    """The part of the picture that the exposure reaches, float32, and the crop's (x, y) in it."""
    margin = math.ceil(length_px) + 2
    top, left = max(corner[0] - margin, 0), max(corner[1] - margin, 0)
    bottom, right = corner[0] + size[0] + margin, corner[1] + size[1] + margin
    seen = (_TO_LINEAR if linear else _TO_UNIT)[picture[top:bottom, left:right]]
    return np.ascontiguousarray(seen), (corner[1] - left, corner[0] - top)


def _warp(scene: Values, pose: Values, shape: tuple[int, int]) -> Values:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(scene, pose, shape, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, dtype=np.float32)


def _pose(
    rng: np.random.Generator,
    length_px: float,
    moments: int,
    size: tuple[int, int],
    offset: tuple[float, float],
    motion: Motion,
) -> Pose:
    """Moment -> 2x3 matrix from crop to scene coordinates; the middle moment only cuts the crop."""
    path = _path(rng, length_px, moments, motion)
    reach = max(math.hypot(*size) / 2, 1.0)
    # Rolling and zooming add at most half of the path's length at the crop's corners.
    bound = 0.5 * length_px / reach
    roll = rng.uniform(-1, 1) * min(math.radians(motion.roll_max_deg), bound)
    zoom = rng.uniform(-1, 1) * min(motion.zoom_max, bound)
    centre = np.array([rng.uniform(0, size[1]), rng.uniform(0, size[0])])
    middle = moments // 2

    time = (np.arange(moments) - middle) / max(moments - 1, 1)
    angle, scale = roll * time, 1 + zoom * time
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    shift = centre - turn @ centre + path + np.asarray(offset)
    matrices = np.concatenate([turn, shift[..., None]], axis=2).astype(np.float32)
    return lambda moment: matrices[moment]


def _path(rng: np.random.Generator, length_px: float, moments: int, motion: Motion) -> Floats:
    """(moments, 2) positions x, y in pixels, (0, 0) at the middle moment."""
    if rng.random() < motion.shake_share:
        shake = Shake(
            rng.uniform(0, 0.7), rng.uniform(0, 0.7), rng.uniform(0, 0.2), scale=_SHAKE_SCALE
        )
        whole = trajectory(rng, length_px, _SHAKE_STEPS, shake)
        places = np.linspace(0, _SHAKE_STEPS - 1, moments)
        steps = np.arange(_SHAKE_STEPS)
        path = np.stack([np.interp(places, steps, whole[:, axis]) for axis in (0, 1)], axis=1)
    else:
        time = np.linspace(-0.5, 0.5, moments)
        direction, bend = rng.uniform(0, 2 * math.pi), rng.normal(0, 0.6)
        angles = direction + bend * 2 * time
        speed = 1 + rng.uniform(-0.5, 0.5) * 2 * time
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * speed[:, None]
        path = np.cumsum(steps, axis=0) * (length_px / max(float(speed.sum()), 1e-6))
    return path - path[moments // 2]


def _mask(
    rng: np.random.Generator,
    shape: tuple[int, int],
    offset: tuple[float, float],
    size: tuple[int, int],
) -> Values:
    """Mask, in [0, 1], of the part that moves by itself: a soft-edged polygon meeting the crop."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    radius = rng.uniform(0.15, 0.6, corners) * min(size)
    centre = np.array(
        [offset[0] + rng.uniform(0, size[1]), offset[1] + rng.uniform(0, size[0])], dtype=np.float64
    )
    points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    mask = np.zeros(shape, dtype=np.float32)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], (1.0,))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.0), dtype=np.float32)


def _with_noise_and_jpeg(rng: np.random.Generator, blurry: Picture, motion: Motion) -> Picture:
    noise = rng.uniform(0, motion.noise_max) if rng.random() < motion.noise_share else 0.0
    quality = None
    if rng.random() < motion.jpeg_share:
        quality = int(rng.integers(motion.jpeg_min_quality, 100))
    if not noise and quality is None:
        return blurry
    # Single precision: half the time of `blur.add_noise_and_jpeg`, which counts while training.
    grain = rng.standard_normal(blurry.shape, dtype=np.float32)
    noisy = np.rint(np.clip(blurry + np.float32(noise) * grain, 0, 255)).astype(np.uint8)
    return noisy if quality is None else jpeg_round_trip(noisy, quality)
