"""Command ``deblur-export``: a checkpoint becomes an artifact with a manifest."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.registry import backbone_names, get_backbone
from ..runtimes.console import DONE, MAX_SIDE, console, print_json, progress_bar, run_command
from .registry import Target, get_target, targets
from .summary import list_targets, print_summary, print_tuning

if TYPE_CHECKING:
    from ..models.checkpoint import Checkpoint
    from ..runtimes.artifact import Manifest
    from .graph import ExportSpec
    from .rewrite import Step

MULTIPLE = 32
DEFAULT_SIZE = (736, 1280)  # 720p, padded


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv)


def build_parser() -> argparse.ArgumentParser:
    """All options; the choices come from the registries."""
    parser = argparse.ArgumentParser(
        prog="deblur-export",
        description="Convert a DeblurGAN-v2 checkpoint, run the result and compare it with "
        "PyTorch. The artifact and its manifest (<artifact>.json) appear only if they agree.",
    )
    _add_what(parser)
    _add_how(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--target", type=_target, metavar="TARGET", help=f"one of: {', '.join(targets())}")
    add("--backbone", type=_backbone, metavar="NAME", help=f"one of: {', '.join(backbone_names())}")
    add(
        "--checkpoint",
        metavar="FILE|released",
        help="weights (.safetensors, .h5, .pth); 'released' downloads DeblurGAN-v2's "
        "fpn_mobilenet.h5; default: the one shipped for the backbone",
    )
    add(
        "--size",
        type=parse_size,
        default=None,
        metavar="HxW",
        help="height x width in pixels, multiples of 32 (default 736x1280, a padded 720p frame)",
    )
    add("--dynamic", action="store_true", help="leave height and width free (multiples of 32)")
    add(
        "--norm",
        choices=("frozen", "live"),
        help="running statistics, folded; or each picture's own (as the reference code infers). "
        "Default: what the checkpoint was trained for",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR|FILE",
        help="where to (default: this folder, <backbone>_<target>_<size>)",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--calib",
        type=Path,
        metavar="DIR",
        help="int8: blurry pictures, or a dataset of pairs, that set the ranges (default: the "
        "packaged samples)",
    )
    add(
        "--calib-count",
        type=_count,
        default=64,
        metavar="N",
        help="int8: crops at the export size, drawn with a fixed seed (default: 64)",
    )
    add(
        "--recipe",
        metavar="NAME|FILE",
        help="int8: a recipe by name (static_w8a8_perchannel, ...) or a JSON file; default: what "
        "was found for the backbone",
    )
    add(
        "--max-drop",
        type=_decibels,
        default=0.1,
        metavar="DB",
        help="int8: largest loss of PSNR against sharp pictures (default: 0.1 dB)",
    )
    add(
        "--rewrite",
        default="auto",
        metavar="auto|none|all|LIST",
        help="exact rewrites of the graph: auto takes what was measured to be fastest for this "
        "target and backbone; LIST is names, each with sites if need be, as in "
        "'split_concat,upsample_to_transposed@td3+smooth' (default: auto)",
    )
    add(
        "--tune",
        action="store_true",
        help="measure the candidates for --rewrite auto on this machine, in turns; what was built "
        "stays in --output, so that a tuning that broke off goes on there",
    )
    add("--rounds", type=_count, default=15, metavar="N", help="timed rounds of --tune")
    add(
        "--table",
        type=Path,
        metavar="FILE",
        help="table that --tune writes (default: in the user's cache folder)",
    )
    add(
        "--threads",
        type=_threads,
        default=0,
        metavar="N",
        help="CPU threads for the comparison (default: all)",
    )
    add("--force", action="store_true", help="replace an existing artifact")
    add(
        "--list",
        action="store_true",
        help="show the targets, and whether each builds and runs here",
    )
    add("--json", action="store_true", help="machine-readable output")


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
    threads, checkpoint = _load(arguments)
    size = arguments.size or DEFAULT_SIZE
    spec = ExportSpec(arguments.target.name, size, dynamic=arguments.dynamic)
    if arguments.tune:
        return run_tuning(arguments, checkpoint, spec, threads)
    return export(arguments, checkpoint, spec, threads)


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


def parse_size(text: str) -> tuple[int, int]:
    """``736x1280`` -> (736, 1280): height, width.

    Raises:
        argparse.ArgumentTypeError: not that form, not multiples of 32, zero, or too large.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 736x1280")
    height, width = int(match[1]), int(match[2])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(f"{text}: sides go from {MULTIPLE} to {MAX_SIDE} pixels")
    if height % MULTIPLE or width % MULTIPLE:
        up = "x".join(str(-(-side // MULTIPLE) * MULTIPLE) for side in (height, width))
        raise argparse.ArgumentTypeError(
            f"{text}: both sides must be multiples of {MULTIPLE}; the next larger is {up}"
        )
    return height, width


def _target(text: str) -> Target:
    try:
        return get_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _backbone(text: str) -> str:
    # A known name needs no import; get_backbone (which imports torch) words the error.
    if text in backbone_names():
        return text
    try:
        return get_backbone(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _threads(text: str) -> int:
    if not text.isdigit() or int(text) > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads (0 means all)")
    return int(text)


def _decibels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 100.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a loss in dB, 0 to 100")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return int(text)
