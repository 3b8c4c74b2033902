"""Sources of crops: sharp pictures or videos blurred on the fly, and pairs on disk.

All sources answer the same question: a crop of a given size, drawn by a given generator of random
numbers, out of item `index`. Pictures are uint8 RGB (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ...data.blur import Picture, add_noise_and_jpeg, average_frames
from ...data.crops import random_crop_pair
from ...data.motion import Motion, blurred_crop
from ...data.pairs import PICTURE_SUFFIXES
from ...data.registry import find_pairs

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
_AREA_PER_CROP = 256 * 256  # a large picture is drawn from more often than a small one
_FRAMES = (7, 9, 11, 13)  # GoPro protocol


class BadPictureError(ValueError):
    """A file of the training set that cannot be used; ``path`` names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class PictureStore:
    """Decoded pictures, kept in memory up to a limit; loader processes share what is kept."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._pictures: dict[Path, Picture] = {}

    def __getstate__(self) -> dict[str, object]:
        # Where processes are spawned, not forked, each decodes for itself instead of copying.
        return {"_limit": 0, "_held": 0, "_pictures": {}}

    def read(self, path: Path) -> Picture:
        """The picture.

        Raises:
            BadPictureError: missing, unreadable or not a picture.
        """
        if (held := self._pictures.get(path)) is not None:
            return held
        try:
            coded = np.fromfile(path, dtype=np.uint8)
            bgr = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
        except (OSError, cv2.error) as error:
            raise BadPictureError(path, f"cannot be read ({error})") from error
        if bgr is None:
            raise BadPictureError(path, "cannot be decoded as a picture")
        return np.ascontiguousarray(np.asarray(bgr, dtype=np.uint8)[..., ::-1])

    def preload(self, paths: Sequence[Path], progress: Callable[[int, int], None]) -> list[Path]:
        """Decode pictures up to the memory limit; returns those that cannot be used."""
        bad: list[Path] = []
        for done, path in enumerate(paths):
            if self._held >= self._limit:
                break
            try:
                picture = self.read(path)
            except BadPictureError:
                bad.append(path)
                continue
            self._pictures[path] = picture
            self._held += picture.nbytes
            progress(done + 1, len(paths))
        return bad


class Source(Protocol):
    """Items to draw crops from."""

    label: str

    def __len__(self) -> int:
        """How many items there are after the stride."""
        ...

    def paths(self) -> list[Path]:
        """Files worth keeping in memory."""
        ...

    def draw(
        self, index: int, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[Picture, Picture]:
        """A crop ``(blurry, sharp)``.

        Raises:
            BadPictureError: the item cannot be used.
        """
        ...


class SharpPictures:
    """A folder of sharp pictures, searched through; blur is made by `Motion`.

    A picture counts once for every 256x256 pixels it holds.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pictures in it.
    """

    def __init__(self, folder: Path, motion: Motion, store: PictureStore, stride: int = 1) -> None:
        files = _files(folder, PICTURE_SUFFIXES, "pictures")[::stride]
        self.label = f"sharp pictures in {folder}: {len(files)}"
        self._motion, self.store = motion, store
        self._items = [path for path in files for _ in range(_weight(path))]

    def __len__(self) -> int:
        return len(self._items)

    def paths(self) -> list[Path]:
        """The pictures, each once."""
        return sorted(set(self._items))

    def draw(
        self, index: int, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[Picture, Picture]:
        """See `Source`."""
        return blurred_crop(rng, self.store.read(self._items[index]), size, self._motion)


class Pairs:
    """Blurry and sharp pictures on disk, in any layout that `models.data` knows.

    Raises:
        FileNotFoundError, ValueError: as `models.data.registry.find_pairs`.
    """

    def __init__(self, root: Path, store: PictureStore, stride: int = 1) -> None:
        found = find_pairs(root, split="train")
        self._pairs = found.pairs[::stride]
        self.store = store
        self.label = f"{found.describe()}, every {stride}." if stride > 1 else found.describe()

    def __len__(self) -> int:
        return len(self._pairs)

    def paths(self) -> list[Path]:
        """Both sides of all pairs."""
        return [path for pair in self._pairs for path in (pair.blurry, pair.sharps[0])]

    def draw(
        self, index: int, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[Picture, Picture]:
        """See `Source`."""
        pair = self._pairs[index]
        blurry, sharp = self.store.read(pair.blurry), self.store.read(pair.sharps[0])
        try:
            return random_crop_pair(rng, blurry, sharp, size, flips=False)
        except ValueError as error:
            raise BadPictureError(pair.blurry, str(error)) from error


class Videos:
    """Videos of sharp frames; blur is the mean of 7 to 13 of them in linear light (GoPro).

    One item is one second of one video. `noise` and JPEG come from `Motion`.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no videos, or one without enough frames.
    """

    def __init__(self, folder: Path, motion: Motion, stride: int = 1) -> None:
        files = [folder] if folder.is_file() else _files(folder, VIDEO_SUFFIXES, "videos")
        self._items: list[tuple[Path, int, int]] = []
        for path in files:
            count, rate = _frames_of(path)
            step = max(round(rate), 1)
            self._items += [(path, first, count) for first in range(0, count - _FRAMES[0], step)]
        self._items = self._items[::stride]
        self._motion = motion
        self.label = f"videos in {folder}: {len(files)}, {len(self._items)} seconds"

    def __len__(self) -> int:
        return len(self._items)

    def paths(self) -> list[Path]:
        """Nothing: frames are decoded when they are needed."""
        return []

    def draw(
        self, index: int, rng: np.random.Generator, size: tuple[int, int]
    ) -> tuple[Picture, Picture]:
        """See `Source`."""
        path, first, count = self._items[index]
        window = min(int(rng.choice(_FRAMES)), (count - first - 1) // 2 * 2 + 1)
        frames = _read_frames(path, first, window)
        blurry, sharp = average_frames(frames)
        noise = rng.uniform(0, self._motion.noise_max) * (rng.random() < self._motion.noise_share)
        blurry = add_noise_and_jpeg(rng, blurry, noise) if noise else blurry
        try:
            return random_crop_pair(rng, blurry, sharp, size, flips=False)
        except ValueError as error:
            raise BadPictureError(path, str(error)) from error


def strided(text: str) -> tuple[Path, int]:
    """``DIR@N`` -> (DIR, N); an @ that is not followed by a number belongs to the name."""
    path, separator, number = text.rpartition("@")
    if separator and number.isdigit():
        if int(number) < 1:
            raise ValueError(f"{text}: the stride after @ is at least 1")
        return Path(path), int(number)
    return Path(text), 1


def _files(folder: Path, suffixes: frozenset[str], what: str) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of {what}; check the path")
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith(".")
    )
    if not found:
        kinds = ", ".join(sorted(s[1:] for s in suffixes))
        raise ValueError(f"{folder}: no {what} ({kinds}) in this folder; nothing to train on")
    return found


def _weight(path: Path) -> int:
    """How often a picture is drawn from in an epoch, by the size in its header."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return max(1, picture.width * picture.height // _AREA_PER_CROP)
    except (OSError, ValueError, Image.DecompressionBombError):
        return 1  # it is named, counted and skipped when it is drawn


def _frames_of(path: Path) -> tuple[int, float]:
    video = cv2.VideoCapture(str(path))
    try:
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        rate = float(video.get(cv2.CAP_PROP_FPS))
    finally:
        video.release()
    if count <= _FRAMES[0]:
        raise ValueError(f"{path}: {count} readable frames; at least {_FRAMES[0] + 1} are needed")
    return count, rate if rate > 0 else 30.0


def _read_frames(path: Path, first: int, count: int) -> list[Picture]:
    video = cv2.VideoCapture(str(path))
    frames: list[Picture] = []
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, first)
        for _ in range(count):
            ok, frame = video.read()
            if not ok:
                raise BadPictureError(path, f"frame {first + len(frames)} cannot be decoded")
            frames.append(np.ascontiguousarray(np.asarray(frame, dtype=np.uint8)[..., ::-1]))
    finally:
        video.release()
    return frames
