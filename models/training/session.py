"""One call of ``deblur-train``: from settings and folders to a finished run and its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...runtimes.command_line.console import DONE, progress_bar
from ...runtimes.files import check_writable, replacing
from ..checkpoints.checkpoint import generator_from, load_checkpoint
from . import state
from .branch import STEPS, Branch, read_branch
from .config import Config, config_from
from .crops.loader import Crops
from .distributed import join_process_group
from .reports.curves import write_curves
from .reports.scores import log_line, report_scores
from .setup import (
    first_pictures,
    freeze_norms,
    open_extras,
    open_sources,
    preload,
    start_generator,
    validation_examples,
)
from .signals import stopping_on_signals
from .trainer import Trainer
from .validate import Example, Scores, evaluate

if TYPE_CHECKING:
    import argparse

    from ..network.generator import Generator

Prepare = Callable[["Generator", Iterable[Tensor]], None]


def train(
    config: Config,
    arguments: argparse.Namespace,
    *,
    prepare: Prepare | None = None,
    report: bool = True,
    branch: Branch | None = None,
) -> int:
    """Train to the end; returns the exit code: 128 + its number after a signal, as shells do.

    SIGINT and SIGTERM let the step at hand end, then save; one a second later ends it at once.

    ``prepare`` may change how the network computes (not what it stores) before training; it gets
    the network and some training pictures, float32 (1, 3, H, W) in [-1, 1]. ``report``: whether
    to measure and print at the end. ``branch``: where to start instead of at step 0.

    Raises:
        ValueError, OSError, MissingDependencyError: for the user, one line.
    """
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with join_process_group(arguments.device) as group:
        folder: Path = arguments.output
        if group.is_main:
            _check_folder(folder, resume=arguments.resume, force=arguments.force)
        sources = open_sources(config, arguments)
        crops = Crops(sources, config.data.seed, flips=config.data.flips, restore=config.restore)
        labels = [source.label for source in sources]
        examples = validation_examples(config, arguments) if group.is_main else []
        generator = start_generator(config)
        log_line(arguments, group, f"data: {'; '.join(labels)}")
        starts = not arguments.resume and branch is None
        costs = freeze_norms(config, generator, crops, examples, group) if starts else {}
        if prepare is not None:
            generator.to(group.device)
            prepare(generator, first_pictures(config, crops, group))
        with open_extras(config, arguments, group, examples) as extras:
            trainer = Trainer(
                config, generator, crops, folder, group=group, labels=labels, extras=extras
            )
            preload(sources, config, extras)
            _begin(trainer, arguments, labels, branch)
            with stopping_on_signals(trainer, enabled=group.world == 1) as received:
                trainer.run(stop_after=arguments.stop_after)
            if received:
                text = f"stopped at step {trainer.step}; everything is saved, go on with --resume"
                log_line(arguments, group, text)
                return 128 + received[0]
            return _finish(trainer, arguments, examples, costs) if report else DONE


def decay(arguments: argparse.Namespace) -> int:
    """Bring the weights of the run in ``--decay-from`` to rest; returns the exit code.

    Raises:
        ValueError, OSError, MissingDependencyError: for the user, one line.
    """
    flat: Path = arguments.decay_from
    if flat.resolve() == arguments.output.resolve():
        raise ValueError(f"{flat} stays as it is; give the decay another --output")
    if arguments.resume:
        return train(config_from(state.read_config(arguments.output)), arguments)
    steps = STEPS if arguments.decay_steps is None else int(arguments.decay_steps)
    branch = read_branch(flat, steps, arguments.overrides)
    return train(branch.config, arguments, branch=branch)


def _begin(
    trainer: Trainer, arguments: argparse.Namespace, labels: Sequence[str], branch: Branch | None
) -> None:
    """At the step where this call of the command starts."""
    if arguments.resume:
        trainer.resume()
        log_line(arguments, trainer.group, f"resumed at step {trainer.step}")
        return
    if branch is not None:
        trainer.start_from(branch)
        text = f"from step {trainer.step} of {branch.folder}, to decay until {trainer.plan.steps}"
        log_line(arguments, trainer.group, text)
    if trainer.group.is_main:
        state.write_config(trainer.folder, trainer.config, labels)


def evaluate_only(config: Config, arguments: argparse.Namespace) -> int:
    """Measure a checkpoint on the validation set; returns the exit code.

    Raises:
        ValueError: no checkpoint or no validation set was given.
    """
    if not config.model.init:
        raise ValueError("--evaluate measures a checkpoint; give it with --init")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    whole = dataclasses.replace(config.run, validate_count=0)
    examples = validation_examples(dataclasses.replace(config, run=whole), arguments)
    if not examples:
        raise ValueError("--evaluate needs --val-sharp DIR or --val-pairs DIR")
    checkpoint = load_checkpoint(config.model.init)
    generator = generator_from(checkpoint)
    with join_process_group(arguments.device) as group, progress_bar("evaluating") as update:
        scores = evaluate(generator.to(group.device), examples, group.device, update)
    report_scores(arguments, {"checkpoint": checkpoint.source, "sha256": checkpoint.sha256}, scores)
    return DONE


def _check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    held = folder / state.STATE_NAME
    if held.exists() and not (resume or force):
        raise FileExistsError(
            f"{folder} holds a run; go on with --resume, start anew with --force, or choose "
            "another --output"
        )
    check_writable(folder / state.CONFIG_NAME, force=True)


def _finish(
    trainer: Trainer,
    arguments: argparse.Namespace,
    examples: Sequence[Example],
    costs: dict[str, Scores],
) -> int:
    if not trainer.group.is_main:
        return DONE
    body: dict[str, object] = {
        "steps": trainer.step,
        "weights": str(trainer.folder / state.LAST_NAME),
        "crops_per_s": round(trainer.clock.images_per_s, 2),
        "data_share": round(trainer.clock.data_share, 4),
    }
    log = _whole_log(trainer, arguments)
    with replacing(trainer.folder / "curves.png") as path:
        write_curves(log, path)
    log_line(arguments, trainer.group, f"done: {trainer.step} steps, {trainer.clock.describe()}")
    scores = None
    if examples:
        with trainer.averaged_weights():
            scores = evaluate(trainer.generator, examples, trainer.group.device)
    for name, cost in costs.items():
        body[name] = {"psnr": cost.mean("psnr_after"), "gain_db": cost.gain_db}
        log_line(
            arguments,
            trainer.group,
            f"{name}: PSNR {cost.mean('psnr_after'):.3f} dB ({cost.gain_db:+.3f})",
        )
    report_scores(arguments, body, scores)
    return DONE


def _whole_log(trainer: Trainer, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The run's log; of a decay that branched off, with that of the flat part before it."""
    before: list[dict[str, Any]] = []
    if arguments.decay_from is not None:
        start = trainer.config.optim.decay_at
        flat = state.read_log(arguments.decay_from / state.LOG_NAME)
        before = [line for line in flat if line["step"] <= start]
    return before + state.read_log(trainer.folder / state.LOG_NAME)
