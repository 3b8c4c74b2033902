"""Command ``deblur-export``: a checkpoint becomes an artifact with a manifest."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.console import DONE, console, print_json, progress_bar, run_command
from .arguments import build_parser
from .options import option_values, unused_flags
from .registry import Target
from .summary import list_targets, print_summary, print_tuning

if TYPE_CHECKING:
    from ..models.checkpoint import Checkpoint
    from ..runtimes.artifact import Manifest
    from .graph import ExportSpec
    from .rewrite import Step

DEFAULT_SIZE = (736, 1280)  # 720p, padded


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv)


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    if arguments.list:
        return list_targets(as_json=arguments.json)
    if arguments.target is None:
        build_parser().error("--target is required (deblur-export --list shows them)")
    if arguments.backbone is None and arguments.checkpoint is None:
        build_parser().error("--backbone is required unless --checkpoint FILE tells it")
    if arguments.tune and arguments.dynamic:
        build_parser().error("--tune times one size; leave out --dynamic")
    from .graph import ExportSpec

    if not arguments.target.needs_calibration and (arguments.calib or arguments.recipe):
        build_parser().error(f"{arguments.target.name} is not quantised: no --calib, no --recipe")
    options = _options(arguments)
    threads, checkpoint = _load(arguments)
    size = arguments.size or DEFAULT_SIZE
    spec = ExportSpec(arguments.target.name, size, dynamic=arguments.dynamic, options=options)
    if arguments.tune:
        return run_tuning(arguments, checkpoint, spec, threads)
    return export(arguments, checkpoint, spec, threads)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The target's own options; wrong usage ends the program."""
    target: Target = arguments.target
    if arguments.dynamic and not target.free_size:
        build_parser().error(f"{target.name} has a fixed size; leave out --dynamic")
    for flag in unused_flags([target], arguments):
        build_parser().error(f"{target.name} has no {flag}")
    try:
        return option_values(target, arguments)
    except ValueError as error:
        build_parser().error(str(error))


def _load(arguments: argparse.Namespace) -> tuple[int, Checkpoint]:
    """Threads to use, and the checkpoint, downloaded if it must be."""
    from ..models.checkpoint import load_checkpoint
    from ..models.sources import default_source, resolve_source
    from ..runtimes.base import usable_cores
    from ..runtimes.optional import require

    threads: int = arguments.threads or usable_cores()
    require("torch").set_num_threads(threads)
    source = arguments.checkpoint or default_source(arguments.backbone)
    with progress_bar(f"fetching {source}", enabled=source == "released") as progress:
        resolve_source(source, progress=progress)
    return threads, load_checkpoint(source, backbone=arguments.backbone)


def export(
    arguments: argparse.Namespace, checkpoint: Checkpoint, spec: ExportSpec, threads: int
) -> int:
    """Produce one artifact and report it."""
    from .prepare import check_norm_size, norm_warning
    from .produce import produce

    target: Target = arguments.target
    norm = arguments.norm or checkpoint.norm
    check_norm_size(norm, spec.size)
    if norm != checkpoint.norm:
        sys.stderr.write(f"deblur-export: warning: {norm_warning(norm, checkpoint.norm)}\n")
    output = output_path(
        arguments.output, target, checkpoint.backbone, spec.size, dynamic=spec.dynamic
    )
    with console(stderr=True).status("starting") as status:
        spec = with_plan(spec, target, checkpoint, arguments, threads, status.update)
        manifest = produce(
            target,
            checkpoint,
            spec,
            output,
            norm=norm,
            rewrites=chosen_rewrites(arguments.rewrite, target, checkpoint.backbone, norm),
            force=arguments.force,
            threads=threads,
            say=status.update,
        )
    warn_if_unstable(manifest)
    if arguments.json:
        print_json({"artifact": str(output), "manifest": manifest.to_dict()})
    else:
        print_summary(output, manifest)
    return DONE


def with_plan(
    spec: ExportSpec,
    target: Target,
    checkpoint: Checkpoint,
    arguments: argparse.Namespace,
    threads: int,
    say: Callable[[str], None],
) -> ExportSpec:
    """The request with its quantisation plan, for targets that need one.

    Raises:
        FileNotFoundError, ValueError: no such recipe, or no pictures to calibrate with.
    """
    if not target.needs_calibration:
        return spec
    from ..quantize.calibration import calibration_set
    from ..quantize.plan import QuantPlan
    from ..quantize.recipe import read_recipe

    recipe = read_recipe(arguments.recipe, checkpoint.backbone)
    if arguments.recipe is None and target.recipe is not None:
        recipe = target.recipe(recipe)
    say("reading calibration pictures")
    pictures = calibration_set(arguments.calib, spec.size, count=arguments.calib_count)
    plan = QuantPlan(recipe, pictures, arguments.max_drop, threads, say)
    return dataclasses.replace(spec, quantise=plan)


def warn_if_unstable(manifest: Manifest) -> None:
    """Say on stderr that the calibration pictures' halves disagree."""
    from ..quantize.plan import UNSTABLE_DB

    cost = manifest.quantisation
    if cost is not None and cost.stability_db is not None and cost.stability_db > UNSTABLE_DB:
        sys.stderr.write(
            f"deblur-export: warning: the two halves of the calibration pictures give networks "
            f"{cost.stability_db:.3f} dB apart; calibrate on more pictures (--calib)\n"
        )


def chosen_rewrites(text: str, target: Target, backbone: str, norm: str) -> tuple[Step, ...]:
    """The steps that ``--rewrite`` means.

    Raises:
        ValueError: unknown names.
    """
    from .rewrite import parse_steps
    from .tune import best_rewrite

    if text != "auto":
        return parse_steps(text)
    if norm != "frozen":
        return ()  # a live norm stands between the convolution and what follows it
    return parse_steps(best_rewrite(target.name, backbone)[0])


def run_tuning(
    arguments: argparse.Namespace, checkpoint: Checkpoint, spec: ExportSpec, threads: int
) -> int:
    """Measure the candidates and record the fastest."""
    from .produce import produce
    from .rewrite import parse_steps
    from .tune import choose, tune, user_table

    target: Target = arguments.target
    table: Path = arguments.table or user_table()

    def build(text: str, path: Path) -> None:
        steps = parse_steps(text)
        produce(target, checkpoint, spec, path, norm="frozen", rewrites=steps, force=True,
                threads=threads)  # fmt: skip

    with console(stderr=True).status("starting") as status:
        spec = with_plan(spec, target, checkpoint, arguments, threads, status.update)
        measured = tune(target, checkpoint, spec, arguments.output, table, threads=threads,
                        rounds=arguments.rounds, build=build, say=status.update)  # fmt: skip
    if arguments.json:
        print_json({"table": str(table), "candidates": [vars(m) for m in measured]})
    else:
        key = f"{target.name}/{checkpoint.backbone}"
        print_tuning(key, measured, choose(measured), table)
    return DONE


def output_path(
    wanted: Path, target: Target, backbone: str, size: tuple[int, int], *, dynamic: bool
) -> Path:
    """The artifact's path: as given if it ends in the target's suffix, else a name in that folder.

    Raises:
        ValueError: a file name with another ending.
    """
    if wanted.suffix == target.suffix:
        return wanted
    if wanted.suffix and not wanted.is_dir():
        raise ValueError(
            f"{wanted}: {target.name} writes {target.suffix} files; "
            "change the ending or give an existing folder"
        )
    shape = "dynamic" if dynamic else f"{size[0]}x{size[1]}"
    return wanted / f"{backbone}_{target.name}_{shape}{target.suffix}"
