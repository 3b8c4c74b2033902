"""Validation on a fixed set: uint8 PSNR and SSIM, as `runtimes.compare` defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...runtimes.compare import psnr_db, ssim
from ..data.blur import Picture
from ..data.motion import Motion, blurred_crop
from ..data.pairs import PICTURE_SUFFIXES
from ..data.registry import find_pairs
from ..network.registry import get_network
from .crops.sources import PictureStore

if TYPE_CHECKING:
    from ..network.network import Network

Item = TypeVar("Item")
_BACKBONE = "mobilenet_dsc"  # as of `config.Model`
_SEED = 20190811  # of the blurs made for validation; the same in every run


@dataclass(frozen=True)
class Example:
    """One picture to validate on: uint8 RGB (H, W, 3), sides that suit the network."""

    name: str
    blurry: Picture
    sharp: Picture


@dataclass(frozen=True)
class Score:
    """One picture's PSNR in dB and SSIM, before (the blurry input) and after."""

    name: str
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float


@dataclass(frozen=True)
class Scores:
    """All pictures' scores."""

    pictures: tuple[Score, ...]

    def mean(self, name: str) -> float:
        """The mean of one of `Score`'s numbers over the pictures."""
        return float(np.mean([getattr(score, name) for score in self.pictures]))

    @property
    def gain_db(self) -> float:
        """Mean PSNR after minus mean PSNR before."""
        return self.mean("psnr_after") - self.mean("psnr_before")

    @property
    def gains_db(self) -> list[float]:
        """Each picture's PSNR after minus PSNR before."""
        return [score.psnr_after - score.psnr_before for score in self.pictures]

    @property
    def spread_db(self) -> float:
        """Standard deviation of the pictures' gains (n - 1 in the denominator); 0 for one."""
        gains = self.gains_db
        finite = len(gains) > 1 and bool(np.isfinite(gains).all())
        return float(np.std(gains, ddof=1)) if finite else 0.0

    @property
    def improved(self) -> float:
        """Share of the pictures whose PSNR rises."""
        return float(np.mean([gain > 0 for gain in self.gains_db]))

    def means(self) -> dict[str, float]:
        """What a run's log says: mean PSNR and SSIM after, and the mean gain in dB."""
        psnr, ssim_after = self.mean("psnr_after"), self.mean("ssim_after")
        return {"psnr": psnr, "ssim": ssim_after, "gain_db": self.gain_db}


def sharp_examples(
    folder: Path, motion: Motion, count: int, crop: int, *, backbone: str = _BACKBONE
) -> list[Example]:
    """Examples from sharp pictures, with blurs that depend on nothing but each picture's name.

    `count` pictures, evenly spread over the sorted folder (0: all), cut in the middle to at most
    `crop` pixels a side (0: whole) and to sides that suit the network `backbone`. No picture is
    resized.

    Raises:
        FileNotFoundError, ValueError: no folder, no pictures, or one too small for the network.
    """
    network = get_network(backbone)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        raise ValueError(f"{folder}: no pictures to validate on")
    # Every picture is blurred: one that is not has no PSNR to start from.
    plain = replace(motion, resize_share=0.0, still_share=0.0)
    store = PictureStore(0)
    examples: list[Example] = []
    for path in _spread(files, count):
        sharp = _cut(store.read(path), path.name, crop, network)
        seed = [_SEED, *path.name.encode()]
        pair = blurred_crop(np.random.default_rng(seed), sharp, sharp.shape[:2], plain)
        examples.append(Example(path.name, *pair))
    return examples


def pair_examples(
    root: Path, count: int, crop: int, tile: int = 0, *, backbone: str = _BACKBONE
) -> list[Example]:
    """Examples from pairs on disk (split `test`, where there is one); see `sharp_examples`.

    With a ``tile`` above 0, each pair becomes its tiles of that many pixels a side, side by side
    from the top left; what is left at the right and below is not used.

    Raises:
        FileNotFoundError, ValueError: as `find_pairs`, or pictures of different sizes.
    """
    network = get_network(backbone)
    store = PictureStore(0)
    examples: list[Example] = []
    for pair in _spread(list(find_pairs(root, split="test").pairs), count):
        blurry, sharp = store.read(pair.blurry), store.read(pair.sharps[0])
        if blurry.shape != sharp.shape:
            raise ValueError(f"{pair.blurry}: {blurry.shape}, but its sharp side is {sharp.shape}")
        cut = (_cut(picture, pair.name, crop, network) for picture in (blurry, sharp))
        whole = Example(pair.name, *cut)
        examples += _tiles(whole, tile, network) if tile else [whole]
    return examples


def _tiles(whole: Example, side: int, network: Network) -> list[Example]:
    height, width = whole.sharp.shape[:2]
    step = network.size_multiple
    if side % step or not network.smallest_side <= side <= min(height, width):
        raise ValueError(
            f"{whole.name}: tiles of {side} pixels do not fit {height}x{width}; give a multiple of "
            f"{step}, at least {network.smallest_side}, that does"
        )
    tops, lefts = range(0, height - side + 1, side), range(0, width - side + 1, side)
    found: list[Example] = []
    for top, left in ((top, left) for top in tops for left in lefts):
        blurry, sharp = (
            np.ascontiguousarray(picture[top : top + side, left : left + side])
            for picture in (whole.blurry, whole.sharp)
        )
        found.append(Example(f"{whole.name}@{top},{left}", blurry, sharp))
    return found


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    if count <= 0 or count >= len(items):
        return list(items)
    return [items[round(i * (len(items) - 1) / max(count - 1, 1))] for i in range(count)]


def _cut(picture: Picture, name: str, crop: int, network: Network) -> Picture:
    step, least = network.size_multiple, network.smallest_side
    sides: list[int] = []
    for side in picture.shape[:2]:
        kept = min(side, crop) if crop else side
        if kept < least:
            raise ValueError(f"{name}: {picture.shape[:2]} is smaller than {least} pixels")
        sides.append(kept // step * step)
    top, left = ((whole - kept) // 2 for whole, kept in zip(picture.shape[:2], sides, strict=True))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def to_signed(picture: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1]."""
    return picture.float() / 127.5 - 1.0


def to_picture(values: Tensor) -> Picture:
    """Float (3, H, W) in [-1, 1] -> uint8 (H, W, 3), rounded."""
    scaled = ((values.float() + 1.0) * 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


@torch.no_grad()
def restore(generator: nn.Module, picture: Picture, device: torch.device) -> Picture:
    """One picture through the generator; uint8 (H, W, 3), sides that suit it."""
    image = torch.from_numpy(picture).to(device).permute(2, 0, 1)[None]
    return to_picture(cast("Tensor", generator(to_signed(image)))[0])


def evaluate(
    generator: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scores:
    """Scores of a generator in eval mode.

    Raises:
        ValueError: no examples.
    """
    if not examples:
        raise ValueError("nothing to validate on")
    training = generator.training
    generator.eval()
    scores: list[Score] = []
    for done, example in enumerate(examples):
        restored = restore(generator, example.blurry, device)
        scores.append(
            Score(
                example.name,
                psnr_db(example.blurry, example.sharp),
                psnr_db(restored, example.sharp),
                ssim(example.blurry, example.sharp),
                ssim(restored, example.sharp),
            )
        )
        progress(done + 1, len(examples))
    generator.train(training)
    return Scores(tuple(scores))
