"""Command ``deblur-report``: one page from several results, and a check for regressions."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....runtimes.command_line.common_options import add_common_options
from ....runtimes.command_line.console import DONE, FAILED, console, print_json, run_command

if TYPE_CHECKING:
    from .payload import Source
    from .regressions import Comparison
    from .runs import Runs


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="bench")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-report",
        description="Write one HTML page from results of deblur-bench --json and of the Android "
        "app, and say what got worse from the first to the later ones. The page needs no network.",
    )
    add_common_options(parser)
    add = parser.add_argument
    add(
        "results",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JSON results, the oldest first; also "
        "manifests of exports (model.onnx.json) and compress.json of deblur-compress",
    )
    add("-o", "--output", type=Path, metavar="FILE", help="the page, such as report.html")
    add(
        "--fail-on",
        type=_share,
        metavar="PERCENT",
        help="exit with 1 if time, memory or bytes grew by more than this against the first "
        "result, such as 5%%, or if PSNR fell by more than --fail-on-drop",
    )
    add(
        "--fail-on-drop",
        type=_decibels,
        default=0.05,
        metavar="DB",
        help="largest drop of PSNR that --fail-on lets pass (default: 0.05)",
    )
    add("--json", nargs="?", const="-", metavar="FILE", help="write the changes as JSON")
    add("--force", action="store_true", help="replace an existing file")
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command; exit code 1 for a regression with ``--fail-on``."""
    from ....runtimes.files import check_writable, replacing
    from .document import write_html
    from .regressions import Limits, compare

    if arguments.output is None and arguments.fail_on is None and arguments.json is None:
        build_parser().error("name the page with -o, or give --fail-on or --json")
    for path in (arguments.output, arguments.json):
        if path not in (None, "-"):
            check_writable(Path(path), force=arguments.force)
    sources, runs = read_files(arguments.results)
    share = 0.05 if arguments.fail_on is None else arguments.fail_on
    comparison = compare(sources, Limits(share, arguments.fail_on_drop))
    if arguments.output is not None:
        changes = comparison if len(sources) > 1 else None
        write_html(arguments.output, sources, comparison=changes, runs=runs)
    if arguments.json == "-":
        print_json(_body(comparison))
    elif arguments.json is not None:
        import json

        with replacing(Path(arguments.json)) as temporary:
            temporary.write_text(json.dumps(_body(comparison), indent=2) + "\n", "utf-8")
    if arguments.json != "-":
        _print(comparison, arguments.output)
    failed = arguments.fail_on is not None and bool(comparison.regressions)
    if failed:
        count = len(comparison.regressions)
        sys.stderr.write(f"deblur-report: error: {count} figures got worse by more than allowed\n")
    return FAILED if failed else DONE


def read_files(paths: list[Path]) -> tuple[list[Source], Runs]:
    """Read results of ``deblur-bench``, the app or the page, and exports' and compressions' files.

    Results are named after their files, made distinct.

    Raises:
        OSError: a file cannot be read.
        ValueError: none of those kinds, or no result of a benchmark among them.
    """
    import json

    from ...import_results import is_imported, read_imported
    from ...result import BenchResult
    from .payload import Source
    from .runs import Runs, read_run

    sources: list[Source] = []
    runs = Runs([], [])
    for path in paths:
        try:
            body: Any = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}: not JSON ({error}); give what deblur-bench --json FILE wrote"
            ) from error
        if (run := read_run(path, body)) is not None:
            runs.add(run)
            continue
        if is_imported(body):
            result = read_imported([path])
        else:
            result = BenchResult.from_dict(body, origin=str(path))
        taken = {source.name for source in sources}
        name = path.stem if path.stem not in taken else f"{path.parent.name}/{path.stem}"
        sources.append(Source(name if name not in taken else f"{name} {len(sources) + 1}", result))
    if not sources:
        raise ValueError("give at least one result of deblur-bench --json besides runs")
    return sources, runs


def _body(comparison: Comparison) -> dict[str, Any]:
    import dataclasses

    return {
        "changes": [dataclasses.asdict(change) for change in comparison.changes],
        "remarks": list(comparison.remarks),
        "regressions": len(comparison.regressions),
    }


def _print(comparison: Comparison, output: Path | None) -> None:
    for change in comparison.changes:
        mark = "worse" if change.regressed else "  ok "
        console().print(f"{mark} {change.text}", markup=False)
    for remark in comparison.remarks:
        console().print(f"      {remark}", markup=False)
    if output is not None:
        console().print(f"wrote {output}", markup=False)


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d{1,4}(?:\.\d+)?)%?", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage, such as 5%")
    return float(match[1]) / 100


def _decibels(text: str) -> float:
    match = re.fullmatch(r"\d{1,3}(?:\.\d+)?", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a drop in dB, such as 0.05")
    return float(text)
