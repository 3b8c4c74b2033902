"""Training inside a compression run: crops for importance, and distillation of a narrow network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...models.data.blur import Picture
from ...models.training import session
from ...models.training.config import Config, load_config
from ...models.training.crops.loader import Crops
from ...models.training.setup import open_sources
from ...models.training.state import LAST_NAME, STATE_NAME
from ...models.training.validate import Example, pair_examples, sharp_examples, to_signed
from ...runtimes.command_line.console import DONE
from ...runtimes.pictures.sample_inputs import SAMPLES

if TYPE_CHECKING:
    from .settings import Compression

_BATCH = 8
_DECAY_SHARE = 0.3  # of the steps, at the end, in which the rate falls


def importance_batches(wanted: Compression) -> Iterator[tuple[Tensor, Tensor]]:
    """Blurry and sharp crops, float32 (8, 3, side, side) in [-1, 1]; the same in every run."""
    config = load_config(wanted.preset, wanted.overrides)
    sources = open_sources(config, _arguments(wanted, wanted.output))
    crops = Crops(sources, config.data.seed, flips=True)
    for batch in range(wanted.importance_batches):
        drawn = [crops[(batch * _BATCH + i, config.data.crop)] for i in range(_BATCH)]
        yield _stacked([item[0] for item in drawn]), _stacked([item[1] for item in drawn])


def _stacked(pictures: list[Picture]) -> Tensor:
    return to_signed(torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in pictures]))


def distil(
    wanted: Compression, start: Path, backbone: str, folder: Path, *, steps: int
) -> tuple[Path, int]:
    """Train a narrow network on the teacher's pictures and the sharp ones; goes on where it broke.

    Args:
        wanted: Teacher, data and settings.
        start: The sliced checkpoint.
        backbone: Its backbone.
        folder: Folder of the training run.
        steps: Steps in all; the rate falls over the last 30 %.

    Returns:
        The trained checkpoint, and the exit code: 0, or 128 + a signal's number.
    """
    decay = max(1, round(steps * _DECAY_SHARE))
    overrides = [
        *wanted.overrides,
        f"model.backbone={backbone}",
        f"model.init={start}",
        f"model.teacher={wanted.teacher or wanted.checkpoint}",
        f"optim.decay_at={steps - decay}",
        f"optim.decay_steps={decay}",
    ]
    trained = folder / LAST_NAME
    config: Config = load_config(wanted.preset, overrides)
    arguments = _arguments(wanted, folder)
    arguments.resume = (folder / STATE_NAME).exists()
    arguments.force = not arguments.resume
    code = session.train(config, arguments, report=False)
    return trained, code


def validation_sets(wanted: Compression) -> dict[str, list[Example]]:
    """Pictures to compare networks on, by set: the packaged samples, and the folders given."""
    run = load_config(wanted.preset, wanted.overrides)
    found = {"samples": pair_examples(SAMPLES.parent, 0, 0)}
    limits = (run.run.validate_count, run.run.validate_crop)
    if wanted.val_sharp is not None:
        found["val-sharp"] = sharp_examples(wanted.val_sharp, run.blur, *limits)
    if wanted.val_pairs is not None:
        found["val-pairs"] = pair_examples(wanted.val_pairs, *limits)
    return found


def finished(code: int) -> bool:
    """Whether a training ended by itself."""
    return code == DONE


def _arguments(wanted: Compression, folder: Path) -> argparse.Namespace:
    return argparse.Namespace(
        sharp=list(wanted.sharp),
        pairs=list(wanted.pairs),
        video=[],
        val_sharp=None,
        val_pairs=None,
        vgg=None,
        device=wanted.device,
        threads=wanted.threads,
        json=wanted.quiet,
        output=folder,
        resume=False,
        force=False,
        stop_after=None,
    )
