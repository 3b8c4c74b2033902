"""Pairs out of a sharp clip: means of neighbouring frames, and the frames in their middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ...runtimes.files import check_absent
from ...runtimes.pictures.metadata import Picture as Still
from ...runtimes.pictures.write import write_picture
from ...runtimes.video.clip import Part, upright
from ...runtimes.video.reader import probe, read_frames
from .blur import Picture, average_frames

# Frames are compared at about this width, which also forgives noise.
_COMPARED_PX = 160
# Correlation of a frame with the one before, brought along the flow. Pans over the sample
# photographs by a twentieth of the width a frame stay above 0.85; two photographs one after the
# other reach 0.68 at most. Faster pans look like cuts, which costs pairs but makes no wrong ones.
CUT_BELOW = 0.75


@dataclass
class Made:
    """What was made: the number of pairs; and cuts, frame number -> correlation across it."""

    pairs: int = 0
    cuts: dict[int, float] = field(default_factory=dict)


def make_pairs(
    clip: Path,
    output: Path,
    *,
    window: tuple[int, int],
    limit: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Made:
    """Write ``blurry/NAME_FRAME.png`` and ``sharp/NAME_FRAME.png``; no frame is used twice.

    Args:
        clip: Sharp frames; 10-bit ones are rounded to 8 bits.
        output: Folder of the pairs.
        window: Least and largest number of frames to average, odd; each pair draws one.
        limit: Make at most so many pairs.
        seed: Of what is drawn.
        force: Existing pictures may be replaced.
        progress: Called with frames read, and how many there are if the clip says.

    Raises:
        FileNotFoundError, ValueError: not a clip; or too few frames without a cut for any pair.
        FileExistsError: a picture is there.
        OSError: a picture cannot be written.
    """
    found = probe(clip)
    sizes = np.arange(window[0], window[1] + 1, 2)
    rng = np.random.default_rng(seed)
    made = Made()
    frames: list[Picture] = []
    wanted = int(rng.choice(sizes))
    for number, frame in enumerate(read_frames(found, Part())):
        pixels = upright(_as_8_bits(frame.pixels), found.rotation)
        if frames and (alike := likeness(frames[-1], pixels)) < CUT_BELOW:
            made.cuts[number] = alike
            frames = []
        frames.append(pixels)
        if progress is not None:
            progress(number + 1, found.frames)
        if len(frames) == wanted:
            middle = number - wanted // 2
            _write(output, f"{clip.stem}_{middle:06d}.png", average_frames(frames), force=force)
            made.pairs += 1
            frames, wanted = [], int(rng.choice(sizes))
            if made.pairs == limit:
                break
    if not made.pairs:
        raise ValueError(
            f"{clip}: no {window[0]} frames in a row without a cut; take a longer clip or fewer "
            "--frames"
        )
    return made


def likeness(first: Picture, second: Picture) -> float:
    """Correlation of the second frame, brought back along the flow, with the first: -1 to 1.

    Where a camera or a thing moves, flow brings the frames together; across a cut nothing does.
    """
    small = [_small_grey(frame) for frame in (first, second)]
    if min(small[0].shape) < 16:  # too small for the search
        return _correlation(small[0], small[1])
    # What is passed is where the search begins, and not only where the result goes.
    still = np.zeros((*small[0].shape, 2), np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(search.calc(small[0], small[1], still), dtype=np.float32)
    columns, rows = np.meshgrid(np.arange(flow.shape[1]), np.arange(flow.shape[0]))
    x = (columns + flow[..., 0]).astype(np.float32)
    y = (rows + flow[..., 1]).astype(np.float32)
    back = cv2.remap(small[1], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _correlation(small[0], np.asarray(back, dtype=np.uint8))


def _small_grey(frame: Picture) -> Picture:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _COMPARED_PX / grey.shape[1])
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _correlation(first: Picture, second: Picture) -> float:
    """1 for two even areas of one brightness, which have no correlation to speak of."""
    a = first.astype(np.float64) - first.mean()
    b = second.astype(np.float64) - second.mean()
    strength = float(np.sqrt(np.mean(a * a) * np.mean(b * b)))
    if strength < 1.0:  # less than a level: noise
        return 1.0 if abs(float(first.mean()) - float(second.mean())) < 8 else 0.0
    return float(np.mean(a * b)) / strength


def _as_8_bits(pixels: np.ndarray) -> Picture:
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels / 257).astype(np.uint8)


def _write(output: Path, name: str, pair: tuple[Picture, Picture], *, force: bool) -> None:
    for side, pixels in zip(("blurry", "sharp"), pair, strict=True):
        target = output / side / name
        check_absent(target, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(Still(pixels), target)
