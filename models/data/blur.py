"""Synthesises motion blur: camera-shake trajectories, and averaged video frames.

Trajectories follow DeblurGAN (Kupyn et al., "DeblurGAN: Blind Motion Deblurring Using Conditional
Adversarial Networks", CVPR 2018, section 4, algorithm 1), which builds on Boracchi and Foi 2012.
Averaging follows GOPRO (Nah et al. 2017, section 2.1): light adds up before the camera's tone
curve, so both ways blur in linear light, taken as `value ** gamma` with gamma 2.2.

Pictures are RGB, height x width x 3: uint8 in [0, 255], or floating point in [0, 1] where said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .pairs import list_pictures

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
GAMMA = 2.2


@dataclass(frozen=True)
class Shake:
    """Camera shake: the parameters of DeblurGAN's algorithm 1 (all unitless).

    `inertia` pulls the path back to its start, `gaussian` jitters the direction, `impulse` sets
    how often the hand jerks nearly backwards, and `scale` (the paper's p_s) scales all three.
    """

    inertia: float
    gaussian: float
    impulse: float
    scale: float = 0.001

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Shake:
        """Draw from the paper's ranges: inertia and gaussian U(0, 0.7), impulse U(0, 0.2)."""
        return cls(rng.uniform(0.0, 0.7), rng.uniform(0.0, 0.7), rng.uniform(0.0, 0.2))


def trajectory(
    rng: np.random.Generator, length_px: float, steps: int = 2000, shake: Shake | None = None
) -> Floats:
    """The camera's path during one exposure: (steps, 2) positions x, y in pixels, from (0, 0).

    A Markov process: every step is as long as the others, `length_px / (steps - 1)`, so the path
    is `length_px` long whatever its shape; only the direction changes. `shake` is drawn from
    `rng` if not given. Algorithm 1 prints the inertia term without a sign; here it points back to
    the start, as its name and the cited model ask.

    Raises ValueError for a negative or non-finite length or fewer than two steps.
    """
    if not (math.isfinite(length_px) and length_px >= 0):
        raise ValueError(f"length_px is {length_px}; it must be finite and at least 0 pixels")
    if steps < 2:
        raise ValueError(f"steps is {steps}; a path needs at least 2 positions")
    shake = Shake.draw(rng) if shake is None else shake
    step_px = length_px / (steps - 1)
    direction = complex(np.exp(1j * rng.uniform(0.0, 2 * math.pi)))
    # Drawn at once, whether used or not: a seed consumes the same numbers at any length.
    jitter = rng.standard_normal((steps, 2)) @ np.array([1, 1j])
    jerks = rng.random(steps) < shake.impulse * shake.scale
    turns = np.exp(1j * (math.pi + rng.standard_normal(steps) - 0.5))
    path = np.zeros(steps, dtype=np.complex128)
    position = 0j
    for t in range(steps - 1):
        push = 2 * direction * turns[t] if jerks[t] else 0j
        pull = shake.scale * (shake.gaussian * jitter[t] - shake.inertia * position)
        direction += push + pull
        direction /= abs(direction) or 1.0
        position += step_px * direction
        path[t + 1] = position
    return np.stack([path.real, path.imag], axis=1)


def kernel_from_trajectory(points: npt.ArrayLike, size: int | None = None) -> Floats:
    """Rasterise a path of (n, 2) positions x, y in pixels as a blur kernel that sums to 1.

    Every position is an equal share of the exposure, spread bilinearly over its four pixels. Both
    steps keep the mean, so the kernel's centroid is exactly its centre and blur does not shift
    the picture. Result: float64 (size, size), size odd, the smallest that fits unless given.

    Raises ValueError if the points are not (n, 2) and finite, or do not fit an odd `size`.
    """
    positions = np.asarray(points, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or len(positions) == 0:
        raise ValueError(f"points have shape {positions.shape}; expected (n, 2) with n at least 1")
    if not np.isfinite(positions).all():
        raise ValueError("points hold NaN or infinity; every position must be finite")
    positions = positions - positions.mean(axis=0)
    # 1e-9 px: what rounding leaves on whole-pixel paths must not cost them a ring of zeros.
    half = math.ceil(float(np.abs(positions).max()) - 1e-9)
    if size is not None:
        if size % 2 == 0 or size < 2 * half + 1:
            raise ValueError(f"size is {size}; this path needs an odd size of {2 * half + 1} up")
        half = size // 2
    # One more ring than kept: the bilinear neighbour of a position on the edge, of weight 0.
    side = 2 * half + 3
    corner = np.floor(positions).astype(np.int64)
    part = positions - corner
    kernel = np.zeros((side, side), dtype=np.float64)
    for dy in (0, 1):
        for dx in (0, 1):
            weight_x = part[:, 0] if dx else 1 - part[:, 0]
            weight_y = part[:, 1] if dy else 1 - part[:, 1]
            rows, columns = corner[:, 1] + dy + half + 1, corner[:, 0] + dx + half + 1
            np.add.at(kernel, (rows, columns), weight_x * weight_y)
    kernel = kernel[1:-1, 1:-1]
    return kernel / kernel.sum()


def random_kernel(
    rng: np.random.Generator,
    length_px: float,
    size: int | None = None,
    steps: int = 2000,
    shake: Shake | None = None,
) -> Floats:
    """A camera-shake kernel whose path is `length_px` pixels long; see `trajectory`."""
    return kernel_from_trajectory(trajectory(rng, length_px, steps, shake), size)


def blur_with_kernel(
    image: npt.NDArray[Any], kernel: Floats, gamma: float = GAMMA
) -> npt.NDArray[Any]:
    """Convolve an RGB picture with `kernel` in linear light; same shape and dtype out.

    `image`: (height, width, 3), uint8 in [0, 255] or floating point in [0, 1]. The border is
    reflected without repeating the edge pixel. uint8 results are rounded, not truncated.

    Raises ValueError for another shape, dtype or range, or a kernel that is not square and odd,
    does not sum to 1, or reaches beyond the reflected border.
    """
    rows, columns = kernel.shape if kernel.ndim == 2 else (0, 0)
    if rows != columns or rows % 2 == 0:
        raise ValueError(f"kernel has shape {kernel.shape}; expected a square with an odd side")
    if abs(float(kernel.sum()) - 1) > 1e-4:
        raise ValueError(f"kernel sums to {float(kernel.sum()):.6g}; normalise it to 1")
    linear = _to_linear(image, gamma)
    if rows // 2 >= min(image.shape[:2]):
        raise ValueError(f"kernel of side {rows} is too large for a picture of {image.shape[:2]}")
    # filter2D correlates; the flip makes it the convolution that a moving camera is.
    flipped = np.ascontiguousarray(kernel[::-1, ::-1])
    blurred = cv2.filter2D(linear, cv2.CV_64F, flipped, borderType=cv2.BORDER_REFLECT_101)
    return _from_linear(np.asarray(blurred, dtype=np.float64), gamma, image.dtype)


def average_frames(frames: Sequence[Picture], gamma: float = GAMMA) -> tuple[Picture, Picture]:
    """One GOPRO pair from consecutive frames: their mean in linear light, and the middle frame.

    `frames`: an odd number, at least 3 (GOPRO: 7 to 13 at 240 frames a second), of uint8 RGB
    pictures of one shape. Returns `(blurry, sharp)`, uint8.

    Raises ValueError for an even or too small number of frames, differing shapes or other dtypes.
    """
    count = len(frames)
    if count < 3 or count % 2 == 0:
        raise ValueError(
            f"got {count} frames; averaging needs an odd number of at least 3 (GOPRO: 7 to 13), "
            "so that one is the middle"
        )
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1:
        raise ValueError(f"frames differ in shape: {shapes}; all must be of one size")
    total = np.zeros(frames[0].shape, dtype=np.float64)
    for frame in frames:
        if frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype}; expected uint8")
        total += _to_linear(frame, gamma)
    return _from_linear(total / count, gamma, np.dtype(np.uint8)), frames[count // 2].copy()


def average_frame_folder(
    folder: Path | str, window: int = 11, stride: int | None = None, gamma: float = GAMMA
) -> Iterator[tuple[str, Picture, Picture]]:
    """Walk a folder of video frames (sorted by name): `(middle frame's stem, blurry, sharp)`.

    Each pair averages `window` consecutive frames; the next starts `stride` frames later
    (default: `window`, so that no frame is used twice). A remainder shorter than `window` is left.

    Raises FileNotFoundError for a missing folder, ValueError for fewer frames than `window`, a
    stride below 1, a file that cannot be decoded, and as `average_frames` does.
    """
    stride = window if stride is None else stride
    if stride < 1:
        raise ValueError(f"stride is {stride}; it must be at least 1 frame")
    frames = list(list_pictures(Path(folder)).items())
    if len(frames) < window:
        raise ValueError(f"{folder}: {len(frames)} frames, fewer than the window of {window}")
    for start in range(0, len(frames) - window + 1, stride):
        taken = frames[start : start + window]
        blurry, sharp = average_frames([_read_rgb(path) for _, path in taken], gamma)
        yield taken[window // 2][0], blurry, sharp


def add_noise_and_jpeg(
    rng: np.random.Generator,
    image: Picture,
    noise_std: float = 1.0,
    jpeg_quality: int | None = None,
) -> Picture:
    """Add what a camera adds after the blur: Gaussian noise, then JPEG if a quality is given.

    `image`: uint8 RGB. `noise_std`: standard deviation in steps of [0, 255], after the tone curve,
    independent per value. `jpeg_quality`: 1 to 100. Returns uint8 RGB.

    Raises ValueError for a negative deviation, a quality out of range or another picture.
    """
    _check_picture(image)
    if image.dtype != np.uint8:
        raise ValueError(f"picture is {image.dtype}; expected uint8")
    if not noise_std >= 0:
        raise ValueError(f"noise_std is {noise_std}; it must be at least 0")
    if jpeg_quality is not None and not 1 <= jpeg_quality <= 100:
        raise ValueError(f"jpeg_quality is {jpeg_quality}; it must be 1 to 100")
    noisy = image + noise_std * rng.standard_normal(image.shape)
    result = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    return result if jpeg_quality is None else jpeg_round_trip(result, jpeg_quality)


def jpeg_round_trip(image: Picture, quality: int) -> Picture:
    """Encode a uint8 RGB picture as JPEG of that quality (1 to 100), and decode it."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, dtype=np.uint8)[..., ::-1])


def _check_picture(image: npt.NDArray[Any]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"picture has shape {image.shape}; expected (height, width, 3), RGB")


def _to_linear(image: npt.NDArray[Any], gamma: float) -> Floats:
    """Linear light in [0, 1] of a uint8 or [0, 1] floating-point picture."""
    _check_picture(image)
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}; it must be above 0")
    if image.dtype == np.uint8:
        return ((np.arange(256, dtype=np.float64) / 255) ** gamma)[image]
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"picture is {image.dtype}; expected uint8 or floating point in [0, 1]")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"picture holds {image.min()} to {image.max()}; floating-point values are in [0, 1]"
        )
    return image.astype(np.float64) ** gamma


def _from_linear(linear: Floats, gamma: float, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    values = np.clip(linear, 0, 1) ** (1 / gamma)
    return np.rint(values * 255).astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)


def _read_rgb(path: Path) -> Picture:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path}: cannot be decoded as a picture; replace or remove it")
    return np.ascontiguousarray(np.asarray(bgr, dtype=np.uint8)[..., ::-1])
