"""Command ``deblur-train``: train from scratch, fine-tune, evaluate or average checkpoints."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.command_line.common_options import Group, add_common_options, completed_by
from ...runtimes.command_line.console import DONE, console, print_json, run_command
from ...runtimes.files import check_writable
from .presets import preset_names

if TYPE_CHECKING:
    from .config import Config

_PRESET = "paper"


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-train",
        description="Train or fine-tune a DeblurGAN-v2 generator whose norms can be frozen. "
        "A run that broke off goes on with --resume and ends as if it never had.",
        epilog="DIR@N takes every N-th item, as in --pairs GOPRO_Large@2. With torchrun, several "
        "processes train as one.",
    )
    add_common_options(parser)
    add_options(parser, preset=_PRESET)
    _add_decay(parser.add_argument_group("letting the rate fall"))
    group = parser.add_argument_group("instead of training")
    instead = group.add_mutually_exclusive_group()
    instead.add_argument(
        "--evaluate", action="store_true", help="measure --init on the validation set"
    )
    instead.add_argument(
        "--average",
        nargs="+",
        metavar="CHECKPOINT",
        help="write the mean of these weights to --output, a .safetensors file",
    )
    instead.add_argument(
        "--list-presets", action="store_true", help="show the presets and their settings as JSON"
    )
    return parser


def _add_decay(group: Group) -> None:
    add = group.add_argument
    add(
        "--decay-from",
        type=Path,
        metavar="RUN",
        help="branch off the last saved step of this run, whose rate is flat: with its settings, "
        "let the rate fall to optim.lr_end and write into --output; RUN itself is only read",
    )
    add("--decay-steps", type=int, metavar="N", help="steps of --decay-from (default: 2000)")


def add_options(parser: argparse.ArgumentParser, *, preset: str) -> None:
    """The options of every command that trains."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    add("--json", action="store_true", help="print the result as JSON")
    _add_settings(parser.add_argument_group("settings"), preset)
    _add_data(parser.add_argument_group("data"))
    _add_weights(parser.add_argument_group("weights"))
    _add_run(parser.add_argument_group("the run"))


def _add_settings(group: Group, preset: str) -> None:
    add = group.add_argument
    chosen = add(
        "--preset",
        default=preset,
        metavar="NAME|FILE.toml",
        help=f"settings to start from: {', '.join(preset_names())}, or a file (default: {preset})",
    )
    completed_by(chosen, preset_names())
    add(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting; repeat for more",
    )


def _add_data(group: Group) -> None:
    add = group.add_argument
    add("--sharp", action="append", default=[], metavar="DIR[@N]",
        help="sharp pictures, which get blurred; repeat for more")  # fmt: skip
    add("--pairs", action="append", default=[], metavar="DIR[@N]",
        help="pairs of blurry and sharp pictures; repeat for more")  # fmt: skip
    add("--video", action="append", default=[], metavar="DIR[@N]",
        help="sharp videos, whose frames get averaged; repeat for more")  # fmt: skip
    add("--val-sharp", type=Path, metavar="DIR",
        help="validate on these sharp pictures, blurred the same way each time")  # fmt: skip
    add("--val-pairs", type=Path, metavar="DIR", help="validate on these pairs")


def _add_weights(group: Group) -> None:
    add = group.add_argument
    add("--backbone", metavar="NAME", help="short for --set model.backbone=NAME")
    add("--init", metavar="CHECKPOINT",
        help="weights to start from: a file, zoo:<network> or released")  # fmt: skip
    add(
        "--freeze-norms",
        action="store_true",
        help="re-estimate the norm statistics of a checkpoint trained with live ones, train with "
        "them fixed, and report what freezing cost before and after",
    )
    add("--teacher", metavar="CHECKPOINT", help="also learn its pictures (loss.distill)")
    add("--vgg", metavar="FILE|download", help="VGG19 weights for the perceptual loss")


def _add_run(group: Group) -> None:
    add = group.add_argument
    add("-o", "--output", type=Path, default=Path("run"), metavar="DIR",
        help="folder of the run (default: run)")  # fmt: skip
    add("--resume", action="store_true", help="go on with the run in --output")
    add("--stop-after", type=int, metavar="STEP",
        help="save at this step and stop; --resume goes on")  # fmt: skip
    add("--force", action="store_true", help="start anew in an --output that holds a run")


def work(arguments: argparse.Namespace) -> int:
    """Do what was asked.

    Raises:
        ValueError, OSError, MissingDependencyError: for the user, one line.
    """
    from .config import config_tree, load_config

    if arguments.list_presets:
        print_json({name: config_tree(load_config(name)) for name in preset_names()})
        return DONE
    if arguments.average:
        from ..checkpoints.average import average_checkpoints

        check_writable(arguments.output, force=arguments.force)
        average_checkpoints(arguments.average, arguments.output)
        console(stderr=True).print(f"wrote {arguments.output}", markup=False, soft_wrap=True)
        return DONE
    from . import session

    _check_decay(arguments)
    if arguments.decay_from:
        return session.decay(arguments)
    config = read_config(arguments)
    if arguments.evaluate:
        return session.evaluate_only(config, arguments)
    return session.train(config, arguments)


def _check_decay(arguments: argparse.Namespace) -> None:
    """A decay takes its settings from the run that it branches off."""
    if arguments.decay_from is None:
        if arguments.decay_steps is not None:
            raise ValueError("--decay-steps belongs to --decay-from RUN")
        return
    if arguments.evaluate:
        raise ValueError("--evaluate measures a checkpoint; leave --decay-from out")
    given = [n for n in ("backbone", "init", "teacher", "freeze_norms") if getattr(arguments, n)]
    given += ["preset"] if arguments.preset != _PRESET else []
    for name in given:
        option = name.replace("_", "-")
        raise ValueError(f"--{option}: a decay takes its settings from {arguments.decay_from}")
    if arguments.resume and (arguments.overrides or arguments.decay_steps is not None):
        raise ValueError("--resume goes on with the decay as it was begun; leave its settings out")


def read_config(arguments: argparse.Namespace) -> Config:
    """Preset, overrides and the short options together.

    Raises:
        FileNotFoundError, ValueError: no such preset, or unknown settings.
    """
    from .config import load_config

    config = load_config(arguments.preset, arguments.overrides)
    model = config.model
    for name in ("backbone", "init", "teacher"):
        if (value := getattr(arguments, name)) is not None:
            model = dataclasses.replace(model, **{name: value})
    if arguments.freeze_norms:
        model = dataclasses.replace(model, freeze_norms=True)
    return dataclasses.replace(config, model=model)


if __name__ == "__main__":
    raise SystemExit(main())
