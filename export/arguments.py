"""The options of ``deblur-export``, and how their words become values."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from pathlib import Path

from ..models.checkpoints.sources import network_names
from ..runtimes.command_line.common_options import Group, add_common_options, completed_by
from ..runtimes.command_line.console import FAILED, MAX_SIDE
from ..runtimes.discovery.entry_points import DuplicateNameError
from .options import add_format_options
from .registry import Target, get_target, targets


class _WholeNames(argparse.HelpFormatter):
    """Breaks lines at spaces only, so that the name of a target can be searched for and copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def build_parser() -> argparse.ArgumentParser:
    """All options; the choices come from the registries.

    Ends the program with one line if two modules register the same target.
    """
    parser = argparse.ArgumentParser(
        prog="deblur-export",
        description="Convert a DeblurGAN-v2 checkpoint, run the result and compare it with "
        "PyTorch. The artifact and its manifest (<artifact>.json) appear only if they agree.",
        formatter_class=_WholeNames,
    )
    try:
        targets()
    except DuplicateNameError as error:
        parser.exit(FAILED, f"{parser.prog}: error: {error}\n")
    add_common_options(parser)
    add = parser.add_argument
    add(
        "--threads",
        type=_threads,
        default=0,
        metavar="N",
        help="CPU threads for the comparison (default: all)",
    )
    add("--json", action="store_true", help="print the result as JSON")
    _add_what(parser.add_argument_group("what to export"))
    _add_where(parser.add_argument_group("where to"))
    _add_rewrites(parser.add_argument_group("rewrites and tuning"))
    _add_int8(parser.add_argument_group("int8 targets"))
    _add_triton(parser.add_argument_group("Triton Inference Server"))
    add_format_options(parser)
    _add_instead(parser.add_argument_group("instead of exporting"))
    return parser


def _add_what(group: Group) -> None:
    add = group.add_argument
    target = add(
        "--target",
        type=_target,
        action="append",
        metavar="TARGET",
        help=f"what to make: {', '.join(targets())}; repeat for more",
    )
    completed_by(target, targets())
    backbone = add(
        "--backbone",
        type=_backbone,
        metavar="NAME",
        help=f"one of: {', '.join(network_names())}; needed without --checkpoint",
    )
    completed_by(backbone, network_names())
    add(
        "--checkpoint",
        metavar="FILE|zoo:NAME|released",
        help="weights (.safetensors, .h5, .pth); 'released' downloads what DeblurGAN-v2 published "
        "for --backbone (default: the ones shipped for --backbone)",
    )
    add(
        "--size",
        type=parse_size,
        action="append",
        metavar="HxW",
        help="height x width in pixels, multiples of what the network halves to (32 for the "
        "pyramids); repeat for more (default: 736x1280, a padded 720p frame)",
    )
    add("--dynamic", action="store_true", help="leave height and width free")
    add(
        "--norm",
        choices=("frozen", "live"),
        help="frozen: running statistics, folded away; live: each picture's own, as the "
        "reference code infers (default: what the weights were trained for)",
    )


def _add_where(group: Group) -> None:
    add = group.add_argument
    add(
        "-o",
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR|FILE",
        help="folder or file to write (default: this folder, <network>_<target>_<size>)",
    )
    add("--force", action="store_true", help="replace an existing artifact")


def _add_rewrites(group: Group) -> None:
    add = group.add_argument
    add(
        "--rewrite",
        default="auto",
        metavar="auto|none|all|LIST",
        help="exact rewrites of the graph. auto takes what was measured to be fastest for this "
        "target, network and CPU family; LIST is names, each at chosen fusion points if need be, "
        "as in 'split_concat,upsample_to_transposed@td3+smooth' (default: auto)",
    )
    add(
        "--tune",
        action="store_true",
        help="time the candidates for --rewrite auto on this machine; what is built stays in "
        "--output, so that a tuning that broke off goes on there",
    )
    add(
        "--rounds",
        type=_count,
        default=15,
        metavar="N",
        help="timed rounds of --tune (default: 15)",
    )
    add(
        "--table",
        type=Path,
        metavar="FILE",
        help="table that --tune writes (default: in the user's cache folder)",
    )


def _add_int8(group: Group) -> None:
    add = group.add_argument
    add(
        "--calib",
        type=Path,
        metavar="DIR",
        help="blurry pictures, or a data set of pairs, that set the ranges (default: the "
        "packaged samples)",
    )
    add(
        "--calib-count",
        type=_count,
        default=64,
        metavar="N",
        help="crops at the export size, drawn with a fixed seed (default: 64)",
    )
    add(
        "--recipe",
        metavar="NAME|FILE",
        help="a recipe by name (static_w8a8_perchannel, ...) or a JSON file (default: the one "
        "found for the network)",
    )
    add(
        "--max-drop",
        type=_decibels,
        default=0.1,
        metavar="DB",
        help="largest loss of PSNR against sharp pictures (default: 0.1)",
    )


def _add_triton(group: Group) -> None:
    add = group.add_argument
    add(
        "--triton",
        type=Path,
        metavar="DIR",
        help="also write the artifact into this model repository: its network, and a model that "
        "takes pictures of any size",
    )
    add(
        "--triton-batch",
        type=_count,
        default=4,
        metavar="N",
        help="most tiles of one batch, for ONNX and OpenVINO; 1 for none (default: %(default)s)",
    )
    add(
        "--triton-instances",
        type=_count,
        default=1,
        metavar="N",
        help="copies of each model on a device (default: %(default)s)",
    )
    add(
        "--triton-python",
        action="store_true",
        help="infer in Triton's Python backend with a runner of this package, for servers without "
        "the format's own backend; formats that Triton does not know always do",
    )


def _add_instead(group: Group) -> None:
    add = group.add_argument
    add("--list", action="store_true", help="list the targets; say which build and run here")
    add(
        "--operators",
        type=Path,
        metavar="FILE",
        help="list the operators of a .tflite file and which delegates take them",
    )


def parse_size(text: str) -> tuple[int, int]:
    """``736x1280`` -> (736, 1280): height, width.

    Raises:
        argparse.ArgumentTypeError: not that form, zero, or too large.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 736x1280")
    try:
        return checked_size(int(match[1]), int(match[2]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def checked_size(height: int, width: int) -> tuple[int, int]:
    """The size itself. Whether it suits a network is that network's to say.

    Raises:
        ValueError: zero, or too large.
    """
    text = f"{height}x{width}"
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError(f"{text}: sides go from 1 to {MAX_SIDE} pixels")
    return height, width


def _target(text: str) -> Target:
    try:
        return get_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _backbone(text: str) -> str:
    names = network_names()
    if text not in names:
        near = difflib.get_close_matches(text, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(
            f"unknown backbone {text!r}{hint} Known: {', '.join(names)}"
        )
    return text


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
