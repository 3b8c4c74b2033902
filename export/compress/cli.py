"""Command ``deblur-compress``: a checkpoint becomes a narrower one that keeps a budget."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.command_line.common_options import Group, add_common_options
from ...runtimes.command_line.console import DONE, FAILED, console, print_json, run_command
from ..arguments import parse_size

if TYPE_CHECKING:
    from .settings import Compression


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-compress",
        description="Make a network narrower until it keeps a budget on the target's runtime, and "
        "train it to draw the same pictures. A run that broke off goes on when it is called again.",
        epilog="Example: deblur-compress --checkpoint zoo:mobilenet_dsc --target openvino-int8 "
        "--budget-ms 33 --threads 2 --sharp DIR -o run",
    )
    add_common_options(parser)
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE|zoo:NAME", help="the network to compress")
    add("-o", "--output", type=Path, default=Path("compress"), metavar="DIR",
        help="folder of the run (default: compress)")  # fmt: skip
    add("--name", type=_name, metavar="NETWORK",
        help="the new network's name (default: <backbone>_narrow)")  # fmt: skip
    add("--force", action="store_true", help="start anew in a folder that holds a run")
    add("--json", action="store_true", help="print the result as JSON")
    _add_budget(parser.add_argument_group("budget"))
    _add_search(parser.add_argument_group("search"))
    _add_training(parser.add_argument_group("training"))
    return parser


def _add_budget(group: Group) -> None:
    add = group.add_argument
    add("--target", default="openvino-int8", metavar="TARGET",
        help="whose artifacts are timed (default: openvino-int8)")  # fmt: skip
    add("--size", type=parse_size, default=(736, 1280), metavar="HxW",
        help="size in pixels (default: 736x1280)")  # fmt: skip
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")
    add("--budget-ms", type=float, metavar="MS", help="milliseconds on this machine")
    add("--budget-ratio", type=float, metavar="R", help="share of the unpruned network's time")
    add("--budget-macs", type=float, metavar="N", help="multiply-accumulates, such as 4e9; no "
        "times are measured then")  # fmt: skip


def _add_search(group: Group) -> None:
    add = group.add_argument
    add("--networks", type=int, default=12, metavar="N",
        help="networks measured for the latency model (default: 12)")  # fmt: skip
    add("--rounds", type=int, default=15, metavar="N", help="timed rounds (default: 15)")
    add("--multiple", type=int, default=8, metavar="N",
        help="widths are multiples of it (default: 8)")  # fmt: skip
    add("--min-share", type=float, default=0.3, metavar="R",
        help="every layer keeps at least this share of its channels (default: 0.3)")  # fmt: skip
    add("--keep", action="append", default=[], metavar="KIND",
        help="widths that stay: streams, hidden, pyramid, heads, smooth or smooth2")  # fmt: skip
    add("--batches", type=int, default=48, metavar="N",
        help="batches of eight crops over which importance is measured (default: 48)")  # fmt: skip
    add("--trial-steps", type=int, default=200, metavar="N",
        help="training steps of each candidate (default: 200)")  # fmt: skip


def _add_training(group: Group) -> None:
    from ...models.training.presets import preset_names

    add = group.add_argument
    add("--sharp", action="append", default=[], metavar="DIR[@N]",
        help="sharp pictures, which get blurred; repeat for more")  # fmt: skip
    add("--pairs", action="append", default=[], metavar="DIR[@N]",
        help="pairs of blurry and sharp pictures; repeat for more")  # fmt: skip
    add("--val-sharp", type=Path, metavar="DIR", help="also validate on these sharp pictures")
    add("--val-pairs", type=Path, metavar="DIR", help="also validate on these pairs")
    add("--steps", type=int, default=20000, metavar="N",
        help="training steps; 0: slice only (default: 20000)")  # fmt: skip
    add("--teacher", metavar="CHECKPOINT", help="whose pictures it learns (default: --checkpoint)")
    add("--preset", default="compress", metavar="NAME|FILE.toml",
        help=f"training settings: {', '.join(preset_names())} (default: compress)")  # fmt: skip
    add("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="change one training setting; repeat for more")  # fmt: skip
    add("--max-loss", type=float, default=0.15, metavar="DB",
        help="how much less than the unpruned network it may gain (default: 0.15)")  # fmt: skip
    add("--device", default="auto", help="where it trains: auto, cpu, cuda (default: auto)")


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command.

    Raises:
        ValueError, OSError, MissingDependencyError: for the user, one line.
    """
    from .bench import ExportBench
    from .report import print_table, write_results
    from .run import compress
    from .steps import Steps

    wanted = settings_from(arguments)
    bench = ExportBench(wanted.target, wanted.size, wanted.threads, wanted.rounds)
    say = _sayer(quiet=wanted.quiet)
    outcome = compress(Steps(wanted, bench, say, force=arguments.force))
    if outcome.checkpoint is None:
        say("stopped; everything is saved, call the same command again to go on")
        return outcome.code
    paths = write_results(wanted, outcome.body)
    if arguments.json:
        print_json(outcome.body)
    else:
        print_table(wanted, outcome.body)
        for path in (outcome.checkpoint, *paths):
            console(stderr=True).print(f"wrote {path}", markup=False, soft_wrap=True)
    if not outcome.passed:
        worst = max(outcome.body["lost_db"].values())
        sys.stderr.write(
            f"deblur-compress: error: {outcome.checkpoint}: gains {worst:.3f} dB less than the "
            f"unpruned network, more than --max-loss {wanted.max_loss_db:g}; train longer "
            "(--steps), ask for less, or accept it (--max-loss)\n"
        )
        return FAILED
    return DONE


def settings_from(arguments: argparse.Namespace) -> Compression:
    """The settings; a usage error ends the program for what no run could do."""
    from ...models.checkpoints.checkpoint import load_checkpoint
    from ...runtimes.machine import usable_cores
    from ..registry import get_target
    from .settings import Budget, Compression

    try:
        budget = Budget(arguments.budget_ms, arguments.budget_ratio, arguments.budget_macs)
        return Compression(
            checkpoint=arguments.checkpoint,
            target=get_target(arguments.target).name,
            size=arguments.size,
            budget=budget,
            output=arguments.output,
            name=arguments.name or f"{load_checkpoint(arguments.checkpoint).backbone}_narrow",
            threads=arguments.threads or usable_cores(),
            networks=arguments.networks,
            rounds=arguments.rounds,
            step=arguments.multiple,
            min_share=arguments.min_share,
            fixed=tuple(arguments.keep),
            importance_batches=arguments.batches,
            trial_steps=arguments.trial_steps,
            steps=arguments.steps,
            teacher=arguments.teacher,
            preset=arguments.preset,
            overrides=tuple(arguments.overrides),
            sharp=tuple(arguments.sharp),
            pairs=tuple(arguments.pairs),
            val_sharp=arguments.val_sharp,
            val_pairs=arguments.val_pairs,
            max_loss_db=arguments.max_loss,
            device=arguments.device,
            quiet=arguments.json,
        )
    except ValueError as error:
        build_parser().error(str(error))


def _sayer(*, quiet: bool):  # noqa: ANN202 - a function of one line
    last: list[str] = []

    def say(text: str) -> None:
        if not quiet and text != (last and last[-1]):
            console(stderr=True).print(text, markup=False, soft_wrap=True, highlight=False)
        last[:] = [text]

    return say


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: lower-case letters, digits and underscores")
    return text


if __name__ == "__main__":
    raise SystemExit(main())
