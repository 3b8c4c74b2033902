"""Degradations besides motion blur, one of which a picture gets: those of the Restore data set.

DeblurGAN-v2 (ICCV 2019), section 4.7: pictures of GoPro and DVD, which are blurred by motion, get
Gaussian or speckle noise, JPEG compression, or the traces of enlargement. The paper does not give
amounts; the ranges here go from barely visible to strong.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .blur import Picture, jpeg_round_trip
from .motion import Motion, blurred_crop
from .pairs import Pair, list_pictures

KINDS = ("gaussian", "speckle", "jpeg", "upscale")
MOTION = "motion"  # nothing is added to the blur
_ENLARGERS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Restore:
    """The distribution of degradations: the share of pictures that get each kind, and how much.

    What the shares leave of 1 gets none.
    """

    gaussian_share: float = 0.0
    speckle_share: float = 0.0
    jpeg_share: float = 0.0
    upscale_share: float = 0.0
    gaussian_min: float = 5.0  # standard deviation in steps of [0, 255]
    gaussian_max: float = 25.0
    speckle_min: float = 0.05  # standard deviation of the factor of each value
    speckle_max: float = 0.2
    jpeg_min_quality: int = 15
    jpeg_max_quality: int = 60
    upscale_min: float = 1.5  # how many times smaller the picture once was
    upscale_max: float = 3.0

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or sum(self.shares) > 1 + 1e-9:
            raise ValueError(f"restore: shares are {self.shares}; they are in [0, 1], 1 in all")
        for name, low, high in (
            ("gaussian", self.gaussian_min, self.gaussian_max),
            ("speckle", self.speckle_min, self.speckle_max),
            ("upscale", self.upscale_min, self.upscale_max),
        ):
            if not 0 < low <= high:
                raise ValueError(f"restore: {name} from {low} to {high} is not a range")
        if not 1 <= self.jpeg_min_quality <= self.jpeg_max_quality <= 100:
            raise ValueError("restore: JPEG qualities are a range in 1 to 100")
        if self.upscale_min < 1:
            raise ValueError(f"restore: upscale_min is {self.upscale_min}; it is at least 1")

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `KINDS`."""
        return (self.gaussian_share, self.speckle_share, self.jpeg_share, self.upscale_share)


@dataclass(frozen=True)
class Blurred:
    """A pair in memory: uint8 RGB (H, W, 3), both of one size."""

    name: str
    blurry: Picture
    sharp: Picture


def degraded(rng: np.random.Generator, picture: Picture, restore: Restore) -> Picture:
    """The picture, uint8 RGB (H, W, 3), with a drawn degradation or none."""
    place = rng.random()
    for kind, share in zip(KINDS, restore.shares, strict=True):
        if place < share:
            return degrade(rng, picture, kind, restore)
        place -= share
    return picture


def degrade(rng: np.random.Generator, picture: Picture, kind: str, restore: Restore) -> Picture:
    """The picture, uint8 RGB (H, W, 3), with one kind of `KINDS` in a drawn amount.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "gaussian":
        deviation = rng.uniform(restore.gaussian_min, restore.gaussian_max)
        return _rounded(picture + deviation * rng.standard_normal(picture.shape))
    if kind == "speckle":
        deviation = rng.uniform(restore.speckle_min, restore.speckle_max)
        return _rounded(picture * (1.0 + deviation * rng.standard_normal(picture.shape)))
    if kind == "jpeg":
        quality = rng.integers(restore.jpeg_min_quality, restore.jpeg_max_quality + 1)
        return jpeg_round_trip(picture, int(quality))
    if kind == "upscale":
        return _enlarged(rng, picture, rng.uniform(restore.upscale_min, restore.upscale_max))
    raise ValueError(f"unknown degradation {kind!r}; known: {', '.join(KINDS)}")


def write_restore_set(
    pairs: Iterable[Pair | Blurred], folder: Path, restore: Restore | None = None
) -> dict[str, int]:
    """Write pairs with each degradation: ``folder/<kind>/{blurry,sharp}/<name>.png``.

    ``deblur-bench --data`` reads it and reports each kind. What a picture gets depends on its name
    and the kind alone, so the same pairs give the same set.

    Args:
        pairs: As `registry.find_pairs` gives them, or `blurred_pictures`.
        folder: Must not hold such a set yet.
        restore: The amounts; its shares do not matter. None for the defaults.

    Returns:
        How many pairs were written of each kind, and of ``motion``, as they are.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: no pairs, or a picture that cannot be decoded.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: is not empty; choose another folder")
    written: dict[str, int] = {}
    for pair in pairs:
        if isinstance(pair, Pair):
            pair = Blurred(pair.name, _read(pair.blurry), _read(pair.sharps[0]))
        name = f"{pair.name.replace('/', '_')}.png"
        blurry, sharp = pair.blurry, pair.sharp
        for kind in (MOTION, *KINDS):
            rng = np.random.default_rng(zlib.crc32(f"{kind}/{pair.name}".encode()))
            bad = blurry if kind == MOTION else degrade(rng, blurry, kind, restore or Restore())
            for side, picture in (("blurry", bad), ("sharp", sharp)):
                path = folder / kind / side / name
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))
            written[kind] = written.get(kind, 0) + 1
    if not written:
        raise ValueError("there are no pairs to degrade")
    return written


def blurred_pictures(folder: Path) -> Iterator[Blurred]:
    """Sharp pictures with motion blurs that depend on nothing but each picture's name.

    Raises:
        FileNotFoundError, ValueError: no folder, or a picture that cannot be decoded.
    """
    motion = Motion(resize_share=0.0, still_share=0.0)
    for name, path in list_pictures(folder).items():
        sharp = _read(path)
        rng = np.random.default_rng(zlib.crc32(f"{MOTION}/{name}".encode()))
        yield Blurred(name, *blurred_crop(rng, sharp, sharp.shape[:2], motion))


def _rounded(values: np.ndarray) -> Picture:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _enlarged(rng: np.random.Generator, picture: Picture, factor: float) -> Picture:
    """Made smaller by averaging, then enlarged again by a drawn method."""
    height, width = picture.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    reduced = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    method = _ENLARGERS[int(rng.integers(len(_ENLARGERS)))]
    back = cv2.resize(reduced, (width, height), interpolation=method)
    return np.asarray(back, dtype=np.uint8)


def _read(path: Path) -> Picture:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path}: cannot be decoded as a picture; replace or remove it")
    return np.ascontiguousarray(np.asarray(bgr, dtype=np.uint8)[..., ::-1])
