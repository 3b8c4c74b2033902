"""``deblur-quantize qat``: train under fake quantisation, and report the gain."""

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
from ...runtimes.command_line.console import DONE, console, print_json
from ..recipe import Recipe
from .fake_quantize import fake_quantise

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.network.generator import Generator


@dataclasses.dataclass(frozen=True)
class QatResult:
    """Mean PSNR in dB on the validation pictures (uint8 RGB), all in PyTorch.

    Attributes:
        float_db: The initial checkpoint in float.
        before_db: The initial checkpoint in 8 bits, as from post-training quantisation.
        after_db: The trained checkpoint in 8 bits.
        after_float_db: The trained checkpoint in float.
    """

    float_db: float
    before_db: float
    after_db: float
    after_float_db: float

    @property
    def verdict(self) -> str:
        """One sentence on whether training beats post-training quantisation."""
        before, after = self.float_db - self.before_db, self.float_db - self.after_db
        better = "beats" if after < before else "does NOT beat"
        return (
            f"quantisation-aware training {better} post-training quantisation: the loss against "
            f"the float checkpoint is {after:.4f} dB instead of {before:.4f} dB"
        )


def run_qat(config: Config, arguments: argparse.Namespace, recipe: Recipe) -> int:
    """Train, then measure before and after; returns the exit code.

    Raises:
        ValueError: no initial checkpoint, no validation pictures, or as `session.train`.
    """
    if not config.model.init:
        raise ValueError("quantisation-aware training starts from a checkpoint; give it --init")
    examples = _examples(config, arguments)
    if not examples:
        raise ValueError("give --val-sharp DIR or --val-pairs DIR: the gain must be measured")
    calibration: list[Tensor] = []

    def prepare(generator: Generator, pictures: Iterable[Tensor]) -> None:
        calibration.extend(picture.cpu() for picture in pictures)
        fake_quantise(
            generator, (p.to(next(generator.parameters()).device) for p in calibration), recipe
        )

    code = session.train(config, arguments, prepare=prepare, report=False)
    if code != DONE:
        return code
    result = _measure_result(config, arguments, examples, calibration, recipe)
    if arguments.json:
        print_json({**dataclasses.asdict(result), "verdict": result.verdict})
    else:
        console().print(result.verdict, markup=False)
    return DONE


def _measure_result(
    config: Config,
    arguments: argparse.Namespace,
    examples: Sequence[Example],
    calibration: Sequence[Tensor],
    recipe: Recipe,
) -> QatResult:
    device = torch.device("cpu")

    def measured(source: str, *, rounded: bool) -> float:
        generator = generator_from(load_checkpoint(source), norm="frozen")
        if rounded:
            fake_quantise(generator, calibration, recipe)
        return evaluate(generator, examples, device).mean("psnr_after")

    trained = str(arguments.output / LAST_NAME)
    return QatResult(
        float_db=measured(config.model.init, rounded=False),
        before_db=measured(config.model.init, rounded=True),
        after_db=measured(trained, rounded=True),
        after_float_db=measured(trained, rounded=False),
    )


def _examples(config: Config, arguments: argparse.Namespace) -> list[Example]:
    backbone, limits = config.model.backbone, (config.run.validate_count, config.run.validate_crop)
    found: list[Example] = []
    if arguments.val_sharp is not None:
        found += sharp_examples(arguments.val_sharp, config.blur, *limits, backbone=backbone)
    if arguments.val_pairs is not None:
        found += pair_examples(arguments.val_pairs, *limits, backbone=backbone)
    return found
