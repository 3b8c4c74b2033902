"""Command ``deblur-bench``: what artifacts cost, and what the conversion cost in quality."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtimes.console import DONE, FAILED, MAX_SIDE, progress_bar, run_command
from .workers.jobs import ending_on_signals

if TYPE_CHECKING:
    from .result import BenchResult, Conditions

SIZE_MULTIPLE = 32
DEFAULT_SIZE = (736, 1280)  # 720p, padded


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. SIGTERM and SIGHUP end it, worker and all."""
    with ending_on_signals():
        return run_command(build_parser(), work, argv)


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-bench",
        description="Measure artifacts and checkpoints: size on disk, operations, time, memory, "
        "PSNR and SSIM against sharp pictures, and drift against the PyTorch checkpoint they were "
        "made from. Each is measured in its own process.",
    )
    _add_what(parser)
    _add_data(parser)
    _add_output(parser)
    _add_how(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--engine",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="artifact or checkpoint to measure; repeat for more",
    )
    add(
        "--import",
        type=Path,
        action="append",
        default=[],
        dest="imports",
        metavar="FILE",
        help="show what the Android app measured, instead of measuring; repeat for more",
    )
    add(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="the checkpoint that artifacts were made from, if it is not where their manifests "
        "say; recognised by its SHA-256; repeat for more",
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


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
    add("--split", default="test", metavar="NAME", help="split of the data set (default: test)")
    add(
        "--subset",
        choices=("blur", "blur_gamma"),
        default="blur",
        help="blurry side of GOPRO_Large (default: blur, which the paper evaluates)",
    )
    add("--limit", type=_positive, metavar="N", help="use only the first N pairs")


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
        help="write a folder with report.md, report.json and pictures",
    )
    add("--force", action="store_true", help="replace an existing FILE or DIR")
    add(
        "--profile",
        action="store_true",
        help="instead: time each operator of one .tflite --engine alone",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--protocol",
        choices=("edge", "paper"),
        default="edge",
        help="edge: reflect-pad to multiples of 32, round (default); paper: zero-pad right and "
        "bottom as the reference code does, truncate",
    )
    _add_sizes(parser)
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
        help="unmeasured runs after the first (default: 3)",
    )
    add("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    add(
        "--hint",
        choices=("latency", "throughput"),
        default="latency",
        help="what OpenVINO tunes for: one picture soon (default), or many in little time; "
        "throughput also counts pictures per second",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_mutually_exclusive_group().add_argument
    add(
        "--size",
        type=_size,
        default=DEFAULT_SIZE,
        metavar="HxW",
        help="height x width in pixels for files of free size, multiples of 32 "
        "(default: 736x1280); files of fixed size are measured at theirs",
    )
    add(
        "--sizes",
        type=_sizes,
        default=(),
        metavar="HxW,HxW",
        help="time and memory alone, at each of these sizes; only for files of free size. "
        "--report then plots time against pixels",
    )


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command; exit code 1 if any row failed."""
    from ..runtimes.files import check_writable
    from .report.registry import formats

    # Asked before hours of measuring, not after.
    formats()
    if arguments.json not in (None, "-"):
        check_writable(Path(arguments.json), force=arguments.force)
    if arguments.report is not None:
        check_writable(arguments.report, force=arguments.force)
    if arguments.profile:
        return _profile(arguments)
    with tempfile.TemporaryDirectory(prefix="edgedeblur-report-") as folder:
        shown = Path(folder)
        result = _result(arguments, shown if arguments.report is not None else None)
        failed = [row.error for row in result.rows if row.error is not None]
        _write(arguments, result, shown)
    for error in failed:
        sys.stderr.write(f"deblur-bench: error: {error}\n")
    return FAILED if failed else DONE


def _profile(arguments: argparse.Namespace) -> int:
    from ..runtimes.machine import usable_cores
    from .timing.tflite_profile import profile, report_profile

    if len(arguments.engine) != 1 or arguments.engine[0].suffix != ".tflite":
        build_parser().error("--profile takes one --engine, a .tflite file")
    threads = arguments.threads or usable_cores()
    with progress_bar("operators") as update:
        found = profile(arguments.engine[0], threads=threads, runs=arguments.runs, progress=update)
    return report_profile(found, json_to=arguments.json)


def _result(arguments: argparse.Namespace, shown: Path | None) -> BenchResult:
    """Measured here, or imported; exits with 2 for neither, or both."""
    if bool(arguments.imports) == bool(arguments.engine):
        build_parser().error("name what to measure with --engine, or phone results with --import")
    if not arguments.imports:
        return measure(arguments, shown)
    from .phone import read_phone_results

    return read_phone_results(arguments.imports)


def measure(arguments: argparse.Namespace, shown: Path | None) -> BenchResult:
    """Measure all engines; pictures for a report go into ``shown``."""
    from .bench import run_bench
    from .environment import describe_machine
    from .plan import Request
    from .quality.data import load_data
    from .result import BenchResult

    _check_usage(arguments)
    data, pictures = load_data(
        arguments.data,
        split=arguments.split,
        subset=arguments.subset,
        limit=arguments.limit,
        sharp=arguments.sharp,
    )
    conditions = _conditions(arguments)
    request = Request(
        engines=tuple(arguments.engine),
        checkpoints=tuple(arguments.checkpoint),
        conditions=conditions,
        pictures=pictures,
        latency=not arguments.no_latency,
        quality=not arguments.no_quality and not arguments.sizes,
        baselines=tuple(dict.fromkeys(arguments.baseline)),
        shown_folder=shown,
    )
    return BenchResult(
        conditions=conditions,
        data=data,
        environment=describe_machine(),
        rows=run_bench(request),
        measured_on=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )


def _check_usage(arguments: argparse.Namespace) -> None:
    """Refuse options that contradict each other; exits with 2."""
    if arguments.sharp is not None and arguments.data is None:
        build_parser().error("--sharp needs --data with the folder of the blurry pictures")
    if "cuda" in arguments.baseline and arguments.device != "cuda":
        build_parser().error("--baseline cuda is PyTorch on a GPU; add --device cuda")
    if arguments.sizes and arguments.no_latency:
        build_parser().error("--sizes measures time and memory; leave out --no-latency")


def _conditions(arguments: argparse.Namespace) -> Conditions:
    from ..runtimes.machine import usable_cores
    from .result import Conditions

    return Conditions(
        size=arguments.sizes[0] if arguments.sizes else arguments.size,
        protocol=arguments.protocol,
        device=arguments.device,
        threads=arguments.threads or usable_cores(),
        runs=arguments.runs,
        warmup=arguments.warmup,
        rounds=arguments.rounds,
        sizes=arguments.sizes,
        hint=arguments.hint,
    )


def _write(arguments: argparse.Namespace, result: BenchResult, shown: Path) -> None:
    from .report.registry import STDOUT, Destination, format_for, get_format

    if arguments.json != STDOUT:
        get_format("table").write(result, Destination(STDOUT))
    if arguments.json is not None:
        get_format("json").write(result, Destination(arguments.json, force=arguments.force))
    if arguments.report is not None:
        to = Destination(str(arguments.report), shown, force=arguments.force)
        format_for(arguments.report).write(result, to)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW, such as 736x1280")
    height, width = int(match[1]), int(match[2])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(
            f"{text}: sides go from {SIZE_MULTIPLE} to {MAX_SIDE} pixels"
        )
    if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise argparse.ArgumentTypeError(
            f"{text}: height and width must be multiples of {SIZE_MULTIPLE}"
        )
    return height, width


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
