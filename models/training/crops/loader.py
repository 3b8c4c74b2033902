"""Loads training crops: each is a pure function of the seed and its running number.

So a run that is resumed at step n sees exactly what the unbroken run would have seen, whatever
the number of loader processes, and two processes of half the batch see what one process sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ...data.restore import Restore, degraded
from ..config import Config
from ..schedule import decay_span
from .sources import BadPictureError, Source
from .worker_signals import WorkerSignals, held_back

if TYPE_CHECKING:
    from ...data.blur import Picture

Key = tuple[int, int]  # the crop's running number, and its side in pixels
_TRIES = 32


@dataclass(frozen=True)
class Batch:
    """uint8 (N, 3, side, side), RGB, in channels-last memory; and the files that were skipped."""

    blurry: Tensor
    sharp: Tensor
    skipped: tuple[str, ...]

    def pin_memory(self) -> Batch:
        """Called by the loader where a GPU is fed."""
        return Batch(self.blurry.pin_memory(), self.sharp.pin_memory(), self.skipped)


@dataclass(frozen=True)
class Plan:
    """How many steps there are, and the batch and crop size of each.

    ``items`` is the number of items of all sources together, ``world`` the number of processes.
    """

    config: Config
    items: int
    world: int = 1

    @property
    def epoch_steps(self) -> int:
        """Steps of one epoch."""
        asked = self.config.data.epoch_steps
        return asked or max(1, -(-self.items // (self.config.data.batch * self.world)))

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(decay_span(self.config.optim, self.epoch_steps))

    @property
    def final_start(self) -> int:
        """The first step that uses the final crop and batch."""
        first = self.steps - self.config.data.final_epochs * self.epoch_steps
        # The steps before a decay that branched off are another run's and stay as they were.
        return max(first, self.config.optim.decay_at if self.config.optim.decay_steps else 0)

    def keys(self, step: int, rank: int = 0) -> list[Key]:
        """The crops of one step of one process."""
        data = self.config.data
        before = min(step, self.final_start) * data.batch
        before += max(step - self.final_start, 0) * data.final_batch
        final = step >= self.final_start
        batch, side = (data.final_batch, data.final_crop) if final else (data.batch, data.crop)
        first = before * self.world + rank * batch
        return [(first + i, side) for i in range(batch)]


class Crops(Dataset[Any]):
    """Crop number -> blurry and sharp picture.

    Raises (when indexed):
        ValueError: no usable picture in a row of tries.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        seed: int,
        *,
        flips: bool = True,
        restore: Restore | None = None,
    ) -> None:
        self.sources = list(sources)
        self._restore = restore if restore is not None and any(restore.shares) else None
        self._seed, self._flips = seed, flips
        self._starts = np.cumsum([0, *(len(source) for source in self.sources)])
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, key: Key) -> tuple[Picture, Picture, list[str]]:
        """uint8 (side, side, 3) twice, and the files skipped on the way."""
        number, side = key
        skipped: list[str] = []
        for attempt in range(_TRIES):
            rng = np.random.default_rng((self._seed, number, attempt))
            source, index = self._item(number + attempt)
            try:
                blurry, sharp = source.draw(index, rng, (side, side))
            except BadPictureError as error:
                skipped.append(str(error))
                continue
            if self._flips:
                blurry, sharp = _flipped(rng, blurry, sharp)
            if self._restore is not None:
                blurry = degraded(rng, blurry, self._restore)
            return blurry, sharp, skipped
        raise ValueError(f"{_TRIES} unusable pictures in a row, the last: {skipped[-1]}")

    def _item(self, number: int) -> tuple[Source, int]:
        epoch, place = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self))
            self._order = (epoch, order)
        item = int(self._order[1][place])
        which = int(np.searchsorted(self._starts, item, side="right")) - 1
        return self.sources[which], item - int(self._starts[which])


def _flipped(rng: np.random.Generator, blurry: Picture, sharp: Picture) -> tuple[Picture, Picture]:
    """Mirrored left-right, up-down and along the diagonal, each half the time."""
    step_y, step_x = (-1 if rng.random() < 0.5 else 1 for _ in range(2))
    axes = (1, 0, 2) if rng.random() < 0.5 else (0, 1, 2)
    first, second = (
        np.ascontiguousarray(picture[::step_y, ::step_x].transpose(axes))
        for picture in (blurry, sharp)
    )
    return first, second


class _Steps(Sampler[list[Key]]):
    def __init__(self, plan: Plan, start: int, rank: int) -> None:
        self._plan, self._start, self._rank = plan, start, rank

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self._start, self._plan.steps):
            yield self._plan.keys(step, self._rank)

    def __len__(self) -> int:
        return self._plan.steps - self._start


def collate(samples: Sequence[tuple[Picture, Picture, list[str]]]) -> Batch:
    """Stack crops; the view as (N, 3, H, W) leaves them in channels-last memory."""
    blurry, sharp = (
        torch.from_numpy(np.stack([sample[side] for sample in samples])).permute(0, 3, 1, 2)
        for side in (0, 1)
    )
    return Batch(blurry, sharp, tuple(text for sample in samples for text in sample[2]))


def batches(
    crops: Crops, plan: Plan, *, start: int = 0, rank: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """The batches of one process from step ``start`` to the end of the run."""
    workers = plan.config.data.workers
    loader = DataLoader(
        crops,
        batch_sampler=_Steps(plan, start, rank),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=WorkerSignals() if workers else None,
    )
    with held_back():
        return cast("Iterator[Batch]", iter(loader))
