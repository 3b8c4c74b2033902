"""One call of ``deblur-quantize qat``: train under fake quantisation, and say what it was worth."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from ...models.checkpoints.checkpoint import generator_from, load_checkpoint
from ...models.training import session
from ...models.training.config import Config
from ...models.training.state import LAST_NAME
from ...models.training.validate import Example, evaluate, pair_examples, sharp_examples
from ...runtimes.console import DONE, console, print_json
from ..recipe import Recipe
from .fake_quantize import fake_quantise

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.network.generator import Generator


@dataclasses.dataclass(frozen=True)
class Worth:
    """PSNR in dB on the validation pictures (uint8 RGB, means), all in PyTorch.

    ``float_db``: the checkpoint trained from. ``before_db``: the same, rounded to 8 bits (what
    post-training quantisation gives). ``after_db``: rounded, after training; ``after_float_db``:
    not rounded.
    """

    float_db: float
    before_db: float
    after_db: float
    after_float_db: float

    @property
    def verdict(self) -> str:
        """One sentence, also when training was worth nothing."""
        before, after = self.float_db - self.before_db, self.float_db - self.after_db
        better = "beats" if after < before else "does NOT beat"
        return (
            f"training under quantisation {better} post-training quantisation: the loss against "
            f"the float checkpoint is {after:.4f} dB instead of {before:.4f} dB"
        )


def run_qat(config: Config, arguments: argparse.Namespace, recipe: Recipe) -> int:
    """Train, then measure before and after alike; returns the exit code.

    Raises:
        ValueError: no checkpoint to start from, no validation pictures, or as `session.train`.
    """
    if not config.model.init:
        raise ValueError("quantisation-aware training starts from a checkpoint; give it --init")
    examples = _examples(config, arguments)
    if not examples:
        raise ValueError("give --val-sharp DIR or --val-pairs DIR: the gain must be measured")
    ranges: list[Tensor] = []

    def prepare(generator: Generator, pictures: Iterable[Tensor]) -> None:
        ranges.extend(picture.cpu() for picture in pictures)
        fake_quantise(
            generator, (p.to(next(generator.parameters()).device) for p in ranges), recipe
        )

    code = session.train(config, arguments, prepare=prepare, report=False)
    if code != DONE:
        return code
    worth = _worth(config, arguments, examples, ranges, recipe)
    if arguments.json:
        print_json({**dataclasses.asdict(worth), "verdict": worth.verdict})
    else:
        console().print(worth.verdict, markup=False)
    return DONE


def _worth(
    config: Config,
    arguments: argparse.Namespace,
    examples: Sequence[Example],
    ranges: Sequence[Tensor],
    recipe: Recipe,
) -> Worth:
    device = torch.device("cpu")

    def measured(source: str, *, rounded: bool) -> float:
        generator = generator_from(load_checkpoint(source), norm="frozen")
        if rounded:
            fake_quantise(generator, ranges, recipe)
        return evaluate(generator, examples, device).mean("psnr_after")

    trained = str(arguments.output / LAST_NAME)
    return Worth(
        float_db=measured(config.model.init, rounded=False),
        before_db=measured(config.model.init, rounded=True),
        after_db=measured(trained, rounded=True),
        after_float_db=measured(trained, rounded=False),
    )


def _examples(config: Config, arguments: argparse.Namespace) -> list[Example]:
    run = config.run
    found: list[Example] = []
    if arguments.val_sharp is not None:
        found += sharp_examples(
            arguments.val_sharp, config.blur, run.validate_count, run.validate_crop
        )
    if arguments.val_pairs is not None:
        found += pair_examples(arguments.val_pairs, run.validate_count, run.validate_crop)
    return found
