"""Command ``deblur-bench``: what artifacts cost, and what the conversion cost in quality."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtimes.command_line.console import DONE, FAILED, progress_bar, run_command
from .arguments import build_parser
from .workers.jobs import exit_on_signals

if TYPE_CHECKING:
    from .result import BenchResult, Conditions


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. SIGTERM and SIGHUP end it and its worker process."""
    with exit_on_signals():
        return run_command(build_parser(), work, argv, extra="bench")


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command; exit code 1 if any row failed."""
    from ..runtimes.files import check_writable
    from .report.registry import formats

    if arguments.ray is not None:
        _check_ray(arguments)
    elif arguments.shard is not None:
        build_parser().error("--shard needs --ray")
    # Checked before hours of measuring, not after.
    formats()
    if arguments.json not in (None, "-"):
        check_writable(Path(arguments.json), force=arguments.force)
    if arguments.report is not None:
        check_writable(arguments.report, force=arguments.force)
    if arguments.profile:
        return _profile(arguments)
    if arguments.temporal:
        return _temporal(arguments)
    if arguments.estimate:
        return _estimate(arguments)
    with tempfile.TemporaryDirectory(prefix="edgedeblur-report-") as folder:
        pictures_folder = Path(folder)
        result = _result(arguments, pictures_folder if arguments.report is not None else None)
        failed = [row.error for row in result.rows if row.error is not None]
        _write(arguments, result, pictures_folder)
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


def _temporal(arguments: argparse.Namespace) -> int:
    from ..runtimes.command_line.console import print_json
    from ..runtimes.files import replacing
    from ..runtimes.machine import usable_cores
    from .report.registry import STDOUT
    from .temporal.measure import TemporalRequest, measure_temporal
    from .temporal.report import print_temporal, temporal_json

    if arguments.data is None or not arguments.engine:
        build_parser().error("--temporal needs --data with a clip or frames, and an --engine")
    if arguments.report is not None:
        build_parser().error("--temporal has no --report; use --json")
    request = TemporalRequest(
        data=arguments.data,
        engines=tuple(dict.fromkeys(arguments.engine)),
        checkpoints=tuple(arguments.checkpoint),
        sharp=arguments.sharp,
        limit=arguments.limit,
        threads=arguments.threads or usable_cores(),
        device=arguments.device,
        protocol=arguments.protocol,
    )
    with progress_bar("frames", rate="frames/s") as update:
        result = measure_temporal(request, lambda done: update(done, arguments.limit or done))
    if arguments.json == STDOUT:
        print_json(temporal_json(result))
    else:
        print_temporal(result)
    if arguments.json not in (None, STDOUT):
        with replacing(Path(arguments.json)) as temporary:
            temporary.write_text(json.dumps(temporal_json(result), indent=2), encoding="utf-8")
    failed = [row.error for row in result.rows if row.error is not None]
    for error in failed:
        sys.stderr.write(f"deblur-bench: error: {error}\n")
    return FAILED if failed else DONE


def _estimate(arguments: argparse.Namespace) -> int:
    from .roofline.estimate import estimates_for, report_estimates

    if len(arguments.engine) != 1:
        build_parser().error("--estimate takes one --engine")
    path = arguments.engine[0]
    return report_estimates(path, estimates_for(path, arguments.size), json_to=arguments.json)


def _result(arguments: argparse.Namespace, pictures_folder: Path | None) -> BenchResult:
    """Measure or import, as the options say; exits with 2 for neither, or both."""
    if bool(arguments.imports) == bool(arguments.engine):
        build_parser().error(
            "name what to measure with --engine, or results of phones and browsers with --import"
        )
    if not arguments.imports:
        return measure(arguments, pictures_folder)
    from .import_results import read_imported

    return read_imported(arguments.imports)


def measure(arguments: argparse.Namespace, pictures_folder: Path | None) -> BenchResult:
    """Measure all engines; the report's pictures go into ``pictures_folder``."""
    from .api import measured
    from .plan import Request
    from .quality.data import load_data

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
        latency=not arguments.no_latency and arguments.ray is None,
        quality=not arguments.no_quality and not arguments.sizes,
        baselines=tuple(dict.fromkeys(arguments.baseline)),
        pictures_folder=pictures_folder,
    )
    if arguments.ray is None:
        return measured(request, data)
    from .workers.ray_bench import SHARD_PICTURES, run_bench_on_ray

    size = arguments.shard or SHARD_PICTURES
    return measured(request, data, lambda asked: run_bench_on_ray(asked, arguments.ray, size))


def _check_ray(arguments: argparse.Namespace) -> None:
    """Refuse what ``--ray`` cannot do, with exit code 2; say that it measures no latency."""
    refused = {
        "--import": arguments.imports,
        "--profile": arguments.profile,
        "--temporal": arguments.temporal,
        "--estimate": arguments.estimate,
        "--baseline": arguments.baseline,
        "--sizes": arguments.sizes,
        "--no-quality": arguments.no_quality,
        "--report": arguments.report,
    }
    for option, given in refused.items():
        if given:
            build_parser().error(f"--ray scores pictures, and nothing else: leave out {option}")
    if not arguments.no_latency:
        sys.stderr.write(
            "deblur-bench: no latency is measured with --ray, since workers share machines\n"
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


def _write(arguments: argparse.Namespace, result: BenchResult, pictures_folder: Path) -> None:
    from .report.registry import STDOUT, Destination, format_for, get_format

    if arguments.json != STDOUT:
        get_format("table").write(result, Destination(STDOUT))
    if arguments.json is not None:
        get_format("json").write(result, Destination(arguments.json, force=arguments.force))
    if arguments.report is not None:
        to = Destination(
            str(arguments.report), pictures_folder, arguments.force, arguments.full_quality
        )
        format_for(arguments.report).write(result, to)
