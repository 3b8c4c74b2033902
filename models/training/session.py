"""One call of ``deblur-train``: from settings and folders to a finished run and its report."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Yields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...runtimes.console import DONE, console, print_json, progress_bar
from ...runtimes.files import check_writable, replacing
from ..checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint
from ..network.norm import reestimate, set_norm_mode
from ..network.registry import build_generator
from . import state
from .board import Board
from .crops.loader import Crops, Plan
from .crops.sources import Pairs, PictureStore, SharpPictures, Source, Videos, strided
from .curves import write_curves
from .densify import can_become, densify
from .distributed import Team, join_team
from .objective.perceptual import PerceptualLoss, find_vgg
from .trainer import Extras, Trainer
from .validate import Example, Scores, evaluate, pair_examples, sharp_examples, to_signed

if TYPE_CHECKING:
    import argparse

    from ..network.generator import Generator
    from .config import Config

_FIRST_CROPS = 64  # over which statistics of a live checkpoint, or ranges, are taken
Prepare = Callable[["Generator", Iterable[Tensor]], None]


def train(
    config: Config,
    arguments: argparse.Namespace,
    *,
    prepare: Prepare | None = None,
    report: bool = True,
) -> int:
    """Train to the end; returns the exit code.

    ``prepare`` may change how the network computes (not what it stores) before training; it gets
    the network and some training pictures, float32 (1, 3, H, W) in [-1, 1]. ``report``: whether
    to measure and print at the end.

    Raises:
        ValueError, OSError, MissingDependencyError: for the user, one line.
    """
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with join_team(arguments.device) as team:
        folder: Path = arguments.output
        if team.leads:
            _check_folder(folder, resume=arguments.resume, force=arguments.force)
        sources = _sources(config, arguments)
        crops = Crops(sources, config.data.seed, flips=config.data.flips)
        labels = [source.label for source in sources]
        examples = _examples(config, arguments) if team.leads else []
        generator = _generator(config)
        _log(arguments, team, f"data: {'; '.join(labels)}")
        costs = _freeze(config, generator, crops, examples, team) if not arguments.resume else {}
        if prepare is not None:
            generator.to(team.device)
            prepare(generator, _pictures(config, crops, team))
        with _extras(config, arguments, team, examples) as extras:
            trainer = Trainer(
                config, generator, crops, folder, team=team, labels=labels, extras=extras
            )
            _preload(sources, config, extras)
            if arguments.resume:
                trainer.resume()
                _log(arguments, team, f"resumed at step {trainer.step}")
            elif team.leads:
                state.write_config(folder, config, labels)
            trainer.run(stop_after=arguments.stop_after)
            return _finish(trainer, arguments, examples, costs) if report else DONE


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
    examples = _examples(dataclasses.replace(config, run=whole), arguments)
    if not examples:
        raise ValueError("--evaluate needs --val-sharp DIR or --val-pairs DIR")
    checkpoint = load_checkpoint(config.model.init)
    generator = generator_from(checkpoint)
    with join_team(arguments.device) as team, progress_bar("evaluating") as update:
        scores = evaluate(generator.to(team.device), examples, team.device, update)
    _report(arguments, {"checkpoint": checkpoint.source, "sha256": checkpoint.sha256}, scores)
    return DONE


def _check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    held = folder / state.STATE_NAME
    if held.exists() and not (resume or force):
        raise FileExistsError(
            f"{folder} holds a run; go on with --resume, start anew with --force, or choose "
            "another --output"
        )
    check_writable(folder / state.CONFIG_NAME, force=True)


def _sources(config: Config, arguments: argparse.Namespace) -> list[Source]:
    store = PictureStore(int(config.data.cache_gb * 1e9))
    sources: list[Source] = []
    for text in arguments.sharp:
        folder, stride = strided(text)
        sources.append(SharpPictures(folder, config.blur, store, stride))
    for text in arguments.pairs:
        folder, stride = strided(text)
        sources.append(Pairs(folder, store, stride))
    for text in arguments.video:
        folder, stride = strided(text)
        sources.append(Videos(folder, config.blur, stride))
    if not sources:
        raise ValueError("nothing to train on; give --sharp DIR, --pairs DIR or --video DIR")
    return sources


def _examples(config: Config, arguments: argparse.Namespace) -> list[Example]:
    run = config.run
    count, crop = run.validate_count, run.validate_crop
    examples: list[Example] = []
    if arguments.val_sharp is not None:
        examples += sharp_examples(arguments.val_sharp, config.blur, count, crop)
    if arguments.val_pairs is not None:
        examples += pair_examples(arguments.val_pairs, count, crop)
    return examples


def _generator(config: Config) -> Generator:
    model = config.model
    if model.init:
        generator = generator_from(_without_dead(load_checkpoint(model.init)), norm="frozen")
        if can_become(generator.backbone, model.backbone):
            return densify(generator, model.backbone)
        if generator.backbone != model.backbone:
            raise ValueError(
                f"{model.init} is a {generator.backbone} checkpoint; use --backbone "
                f"{generator.backbone} or another --init"
            )
        return generator
    if model.freeze_norms:
        raise ValueError("--freeze-norms works on a checkpoint; give it with --init")
    torch.manual_seed(config.data.seed)
    generator = build_generator(model.backbone)
    if model.zero_residual:
        last = list(generator.final.parameters())
        for parameter in last[-2:]:  # the weight and bias that make the residual
            torch.nn.init.zeros_(parameter)
    return generator


def _without_dead(checkpoint: Checkpoint) -> Checkpoint:
    """Layers that inference never touches get no gradient; they are left out."""
    if not checkpoint.dead_features:
        return checkpoint
    from ..network.registry import get_backbone

    live = get_backbone(checkpoint.backbone).live_features
    kept = {
        name: tensor
        for name, tensor in checkpoint.state.items()
        if not name.startswith("fpn.features.") or int(name.split(".")[2]) < live
    }
    return dataclasses.replace(checkpoint, state=kept)


def _freeze(
    config: Config,
    generator: Generator,
    crops: Crops,
    examples: Sequence[Example],
    team: Team,
) -> dict[str, Scores]:
    """Re-estimate a live checkpoint's statistics; its scores live, and frozen before training."""
    if not config.model.freeze_norms:
        return {}
    generator.to(team.device)
    costs: dict[str, Scores] = {}
    if examples:
        set_norm_mode(generator, "live")
        costs["live"] = evaluate(generator, examples, team.device)
    set_norm_mode(generator, "frozen")
    reestimate(generator, _pictures(config, crops, team))
    if examples:
        costs["frozen, before training"] = evaluate(generator, examples, team.device)
    return costs


def _pictures(config: Config, crops: Crops, team: Team) -> Iterator[Tensor]:
    """The run's first blurry crops, float32 (1, 3, H, W) in [-1, 1]."""
    plan = Plan(config, len(crops))
    keys = [key for step in range(_FIRST_CROPS) for key in plan.keys(step)][:_FIRST_CROPS]
    for key in keys:
        yield to_signed(torch.from_numpy(crops[key][0]).permute(2, 0, 1)[None]).to(team.device)


@contextlib.contextmanager
def _extras(
    config: Config, arguments: argparse.Namespace, team: Team, examples: Sequence[Example]
) -> Yields[Extras]:
    perceptual = None
    if config.loss.perceptual:
        perceptual = PerceptualLoss(find_vgg(arguments.vgg or "vgg19-dcbb9e9d.pth"))
        perceptual.to(team.device)
    teacher = None
    if config.loss.distill:
        if not config.model.teacher:
            raise ValueError("loss.distill needs a --teacher; or set it to 0")
        teacher = generator_from(load_checkpoint(config.model.teacher))
        teacher.to(team.device).requires_grad_(False)
    board = None
    if config.run.tensorboard and team.leads:
        board = Board(arguments.output / "tensorboard")
    metadata = {"init": config.model.init or "random"}
    log = lambda text: _log(arguments, team, text)  # noqa: E731
    with progress_bar("training", enabled=team.leads and not arguments.json) as update:
        extras = Extras(perceptual, teacher, examples, board, metadata, log)
        extras.progress = lambda done, total, _text: update(done, total)
        yield extras
    if board is not None:
        board.close()


def _preload(sources: Sequence[Source], config: Config, extras: Extras) -> None:
    if config.data.cache_gb <= 0:
        return
    for source in sources:
        store = getattr(source, "store", None)
        if isinstance(store, PictureStore):
            with progress_bar("reading pictures") as update:
                for path in store.preload(source.paths(), update):
                    extras.report(f"unusable: {path}")


def _finish(
    trainer: Trainer,
    arguments: argparse.Namespace,
    examples: Sequence[Example],
    costs: dict[str, Scores],
) -> int:
    if not trainer.team.leads:
        return DONE
    body: dict[str, object] = {
        "steps": trainer.step,
        "weights": str(trainer.folder / state.LAST_NAME),
        "crops_per_s": round(trainer.clock.images_per_s, 2),
        "data_share": round(trainer.clock.data_share, 4),
    }
    log = state.read_log(trainer.folder / state.LOG_NAME)
    with replacing(trainer.folder / "curves.png") as path:
        write_curves(log, path)
    _log(arguments, trainer.team, f"done: {trainer.step} steps, {trainer.clock.describe()}")
    scores = None
    if examples:
        with trainer.averaged_weights():
            scores = evaluate(trainer.generator, examples, trainer.team.device)
    for name, cost in costs.items():
        body[name] = {"psnr": cost.mean("psnr_after"), "gain_db": cost.gain_db}
        _log(
            arguments,
            trainer.team,
            f"{name}: PSNR {cost.mean('psnr_after'):.3f} dB ({cost.gain_db:+.3f})",
        )
    _report(arguments, body, scores)
    return DONE


def _report(arguments: argparse.Namespace, body: dict[str, object], scores: Scores | None) -> None:
    if arguments.json:
        if scores is not None:
            names = ("psnr_before", "psnr_after", "ssim_before", "ssim_after")
            body["mean"] = _finite({name: scores.mean(name) for name in names})
            body["pictures"] = [_finite(dataclasses.asdict(score)) for score in scores.pictures]
        print_json(body)
        return
    if scores is None:
        return
    from rich.table import Table

    table = Table("picture", "PSNR before", "after", "gain dB", "SSIM before", "after")
    for s in scores.pictures:
        gain = s.psnr_after - s.psnr_before
        row = (s.psnr_before, s.psnr_after, gain, s.ssim_before, s.ssim_after)
        table.add_row(s.name, *(f"{value:.3f}" for value in row))
    names = ("psnr_before", "psnr_after", "gain_db", "ssim_before", "ssim_after")
    means = [scores.gain_db if n == "gain_db" else scores.mean(n) for n in names]
    table.add_section()
    table.add_row("mean", *(f"{value:.3f}" for value in means))
    console().print(table)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: None stands for the PSNR of identical pictures."""
    return {name: None if value == math.inf else value for name, value in values.items()}


def _log(arguments: argparse.Namespace, team: Team, text: str) -> None:
    if team.leads and not arguments.json:
        console(stderr=True).print(text, markup=False, soft_wrap=True)
