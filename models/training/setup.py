"""What a run starts from: data, validation pictures, the network, and helpers such as a teacher."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator as Yields
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...runtimes.command_line.console import progress_bar
from ..checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint
from ..checkpoints.densify import can_densify, densify
from ..network.norm import reestimate, set_norm_mode
from ..network.pyramid import PyramidGenerator
from ..network.registry import build_generator, get_network
from .crops.loader import Crops, Plan
from .crops.sources import Pairs, PictureStore, SharpPictures, Source, Videos, strided
from .distributed import ProcessGroup
from .extras import Extras
from .objective.perceptual import PerceptualLoss, find_vgg
from .reports.board import Board
from .reports.scores import log_line
from .validate import Example, Scores, evaluate, pair_examples, sharp_examples, to_signed

if TYPE_CHECKING:
    import argparse

    from ..network.generator import Generator
    from .config import Config

_FIRST_CROPS = 64  # over which statistics of a live checkpoint, or ranges, are taken


def open_sources(config: Config, arguments: argparse.Namespace) -> list[Source]:
    """The training data that the command line names.

    Raises:
        ValueError, OSError: none is named, or a folder holds nothing usable.
    """
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


def validation_examples(config: Config, arguments: argparse.Namespace) -> list[Example]:
    """The validation pictures that the command line names; empty if it names none."""
    run = config.run
    count, crop, backbone = run.validate_count, run.validate_crop, config.model.backbone
    examples: list[Example] = []
    if arguments.val_sharp is not None:
        examples += sharp_examples(arguments.val_sharp, config.blur, count, crop, backbone=backbone)
    if arguments.val_pairs is not None:
        examples += pair_examples(
            arguments.val_pairs, count, crop, run.validate_tile, backbone=backbone
        )
    return examples


def start_generator(config: Config) -> Generator:
    """The network at step 0: from a checkpoint, or with random weights.

    Raises:
        ValueError: the checkpoint is of another backbone, or norms without a checkpoint.
    """
    model = config.model
    if model.init:
        generator = generator_from(_without_dead(load_checkpoint(model.init)), norm="frozen")
        if isinstance(generator, PyramidGenerator) and can_densify(
            generator.backbone, model.backbone
        ):
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
    last = get_network(model.backbone).last
    if model.zero_residual and last:
        for parameter in generator.get_submodule(last).parameters():
            torch.nn.init.zeros_(parameter)
    return generator


def _without_dead(checkpoint: Checkpoint) -> Checkpoint:
    """Layers that inference never touches get no gradient; they are left out."""
    if not checkpoint.dead_features:
        return checkpoint
    is_dead = checkpoint.described.is_dead
    kept = {name: tensor for name, tensor in checkpoint.state.items() if not is_dead(name)}
    return dataclasses.replace(checkpoint, state=kept)


def freeze_norms(
    config: Config,
    generator: Generator,
    crops: Crops,
    examples: Sequence[Example],
    group: ProcessGroup,
) -> dict[str, Scores]:
    """Re-estimate a live checkpoint's statistics; its scores live, and frozen before training."""
    if not config.model.freeze_norms:
        return {}
    generator.to(group.device)
    costs: dict[str, Scores] = {}
    if examples:
        set_norm_mode(generator, "live")
        costs["live"] = evaluate(generator, examples, group.device)
    set_norm_mode(generator, "frozen")
    reestimate(generator, first_pictures(config, crops, group))
    if examples:
        costs["frozen, before training"] = evaluate(generator, examples, group.device)
    return costs


def first_pictures(config: Config, crops: Crops, group: ProcessGroup) -> Iterator[Tensor]:
    """The run's first blurry crops, float32 (1, 3, H, W) in [-1, 1]."""
    plan = Plan(config, len(crops))
    keys = [key for step in range(_FIRST_CROPS) for key in plan.keys(step)][:_FIRST_CROPS]
    for key in keys:
        yield to_signed(torch.from_numpy(crops[key][0]).permute(2, 0, 1)[None]).to(group.device)


@contextlib.contextmanager
def open_extras(
    config: Config,
    arguments: argparse.Namespace,
    group: ProcessGroup,
    examples: Sequence[Example],
) -> Yields[Extras]:
    """What the run needs besides the generator and its data; closed at the end of the block.

    Raises:
        ValueError, OSError, MissingDependencyError: VGG's weights or the teacher are missing.
    """
    perceptual = None
    if config.loss.perceptual:
        perceptual = PerceptualLoss(find_vgg(arguments.vgg or "vgg19-dcbb9e9d.pth"))
        perceptual.to(group.device)
    teacher = None
    if config.loss.teaches:
        if not config.model.teacher:
            raise ValueError("loss.distill (or loss.feature) needs a --teacher; or set it to 0")
        teacher = generator_from(load_checkpoint(config.model.teacher))
        teacher.to(group.device).requires_grad_(False)
    board = None
    if config.run.tensorboard and group.is_main:
        board = Board(arguments.output / "tensorboard")
    metadata = {"init": config.model.init or "random"}
    if config.model.init:
        start = load_checkpoint(config.model.init)
        if start.backbone == config.model.backbone and "network" in start.metadata:
            metadata["network"] = start.metadata["network"]
    log = lambda text: log_line(arguments, group, text)  # noqa: E731
    with progress_bar("training", enabled=group.is_main and not arguments.json) as update:
        extras = Extras(
            perceptual, teacher, examples=examples, board=board, metadata=metadata, report=log
        )
        extras.progress = lambda done, total, _text: update(done, total)
        yield extras
    if board is not None:
        board.close()


def preload(sources: Sequence[Source], config: Config, extras: Extras) -> None:
    """Decode pictures into memory, as many as `data.cache_gb` holds."""
    if config.data.cache_gb <= 0:
        return
    for source in sources:
        store = getattr(source, "store", None)
        if isinstance(store, PictureStore):
            with progress_bar("reading pictures") as update:
                for path in store.preload(source.paths(), update):
                    extras.report(f"unusable: {path}")
