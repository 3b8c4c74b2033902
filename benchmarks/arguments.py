"""The options of ``deblur-bench``, and how their text becomes values."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..runtimes.archive.arguments import add_ray_option
from ..runtimes.command_line.common_options import Group, add_common_options
from ..runtimes.command_line.console import MAX_SIDE

DEFAULT_SIZE = (736, 1280)  # 720p, padded


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-bench",
        description="Measure artifacts and checkpoints: size on disk, operations, time, memory, "
        "PSNR and SSIM against sharp pictures, and drift against the PyTorch checkpoint they were "
        "made from. Each is measured in its own process.",
    )
    add_common_options(parser)
    _add_what(parser.add_argument_group("what to measure"))
    _add_data(parser.add_argument_group("on which pictures"))
    _add_how(parser.add_argument_group("how"))
    _add_ray(parser.add_argument_group("on a cluster"))
    _add_output(parser.add_argument_group("results"))
    return parser


def _add_what(group: Group) -> None:
    add = group.add_argument
    add(
        "--engine",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="artifact or checkpoint; repeat for more",
    )
    add(
        "--import",
        type=Path,
        action="append",
        default=[],
        dest="imports",
        metavar="FILE",
        help="show what the Android app or the web page measured, instead of measuring here; "
        "repeat for more",
    )
    add(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that artifacts were made from and that is not where their manifests "
        "say; told by its SHA-256; repeat for more",
    )
    add(
        "--baseline",
        choices=("reference", "stock", "cuda"),
        action="append",
        default=[],
        help="also measure, and compare with: the same weights as the original code infers "
        "(reference: PyTorch, norms in training arithmetic), or exported by torch.onnx.export "
        "alone (stock: in onnxruntime, and in OpenVINO if installed), or in PyTorch on the GPU "
        "(cuda: fp32, TF32, fp16, torch.compile, CUDA graph); repeat for more",
    )


def _add_data(group: Group) -> None:
    add = group.add_argument
    add(
        "--data",
        type=Path,
        metavar="ROOT",
        help="data set: GoPro, Kohler, DVD, RealBlur, or two folders such as blurry/ and sharp/ "
        "(default: the packaged samples)",
    )
    add(
        "--sharp",
        type=Path,
        metavar="DIR",
        help="folder of the sharp pictures, if --data is the folder of the blurry ones",
    )
    add(
        "--split",
        default="test",
        metavar="NAME",
        help="which split of the data set (default: test)",
    )
    add(
        "--subset",
        choices=("blur", "blur_gamma"),
        default="blur",
        help="blurry side of GOPRO_Large (default: blur, which the paper evaluates)",
    )
    add("--limit", type=_positive, metavar="N", help="use only the first N pairs")


def _add_ray(group: Group) -> None:
    add_ray_option(
        group,
        "score the data set in shards on the Ray cluster at HOST:PORT or 'auto', or, without an "
        "address, on a local Ray: the same figures as without, and no latency",
    )
    group.add_argument(
        "--shard", type=_positive, metavar="N", help="pictures a task, with --ray (default: 16)"
    )


def _add_output(group: Group) -> None:
    add = group.add_argument
    add("--no-latency", action="store_true", help="leave out time and memory")
    add("--no-quality", action="store_true", help="leave out pictures and the PyTorch reference")
    add(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the result as JSON to FILE, or to standard output instead of the tables",
    )
    add(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a folder with report.md, report.html, report.json and pictures; a name that "
        "ends in .html writes that page alone",
    )
    add(
        "--full-quality",
        action="store_true",
        help="store the page's pictures without loss, however large it becomes",
    )
    add("--force", action="store_true", help="replace an existing FILE or DIR")
    add(
        "--profile",
        action="store_true",
        help="time each operator of one .tflite --engine alone, instead of the whole",
    )
    add(
        "--temporal",
        action="store_true",
        help="how much the frames of --data, a clip or a folder of frames, flicker: warping error, "
        "PSNR per frame, and drift from PyTorch over time; --sharp takes a clip or frames too",
    )
    add(
        "--estimate",
        action="store_true",
        help="estimate from published peak figures how long one --engine takes at least on four "
        "phones; nothing is measured",
    )


def _add_how(group: Group) -> None:
    add = group.add_argument
    add(
        "--protocol",
        choices=("edge", "paper"),
        default="edge",
        help="edge: reflect-pad to multiples of 32 and round; paper: zero-pad right and bottom as "
        "the reference code does, and truncate (default: edge)",
    )
    _add_sizes(group)
    add("--runs", type=_positive, default=20, metavar="N", help="measured runs (default: 20)")
    add(
        "--rounds",
        type=_positive,
        default=1,
        metavar="N",
        help="time all rows in turn, N times over, each time in fresh processes, and pool the "
        "runs (default: 1)",
    )
    add(
        "--warmup",
        type=_natural,
        default=3,
        metavar="N",
        help="runs to warm up, after the first (default: 3)",
    )
    add("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    add(
        "--hint",
        choices=("latency", "throughput"),
        default="latency",
        help="what OpenVINO and TensorRT run for: one picture soon, or many in little time; "
        "throughput also counts pictures per second (default: latency)",
    )
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where ONNX files and checkpoints run; TensorRT plans run on cuda, all others on "
        "cpu (default: cpu)",
    )


def _add_sizes(group: Group) -> None:
    add = group.add_mutually_exclusive_group().add_argument
    add(
        "--size",
        type=_size,
        default=DEFAULT_SIZE,
        metavar="HxW",
        help="height x width in pixels for files of free size, multiples of what the network "
        "needs, as of 32 (default: 736x1280); files of fixed size are measured at theirs",
    )
    add(
        "--sizes",
        type=_sizes,
        default=(),
        metavar="HxW,HxW",
        help="time and memory alone, at each of these sizes; only for files of free size. "
        "--report then plots time against pixels",
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 736x1280")
    height, width = int(match[1]), int(match[2])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(f"{text}: sides go from 1 to {MAX_SIDE} pixels")
    return height, width  # of which multiples is the network's own affair: see `plan`


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(dict.fromkeys(_size(part) for part in text.split(",")))


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be 1 or more, not 0")
    return number


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)
