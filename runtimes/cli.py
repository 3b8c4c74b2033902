"""Command ``deblur-run``: deblurs pictures with an exported artifact."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .archive.arguments import add_archive_options, given_without_ray
from .command_line.common_options import Group, add_common_options
from .command_line.console import (
    DONE,
    FAILED,
    USER_ERRORS,
    discard_stdout,
    one_line,
    print_json,
    progress_bar,
    run_command,
)
from .command_line.picture_options import add_tiling_options, count, quality
from .pictures.batch import Done, Settings, run_jobs
from .pictures.jobs import Job, check_jobs, plan_jobs
from .pictures.leftovers import remove_leftovers
from .pictures.sources import Failure, find_sources
from .pictures.tiling import TilingOptions
from .pictures.write import WRITABLE
from .registry import check_artifact, open_runner
from .video.arguments import add_clip_options, is_clip_run

FORMATS = ("png", "jpg", "webp", "tif")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    return run_command(build_parser(), work, argv)


def build_parser() -> argparse.ArgumentParser:
    """All arguments."""
    parser = argparse.ArgumentParser(
        prog="deblur-run",
        description="Deblur pictures, or a clip, with an exported artifact. Depth, transparency, "
        "EXIF and colour profile are kept; pictures come out upright. In a run over several "
        "pictures one that fails does not stop the others: failures are listed at the end and the "
        "exit code is 1.",
        epilog="Nothing is overwritten without --force, neither an input nor an existing output.",
    )
    add_common_options(parser)
    add = parser.add_argument
    add("artifact", help="what deblur-export wrote, for example model.onnx")
    add(
        "inputs",
        nargs="+",
        metavar="input",
        help=f"a picture ({', '.join(WRITABLE)}), a folder, or a quoted pattern such as "
        "'shots/*.jpg'; or one clip such as film.mp4, or an image sequence such as frame_%%05d.png",
    )
    add("--json", action="store_true", help="print the result as JSON")
    _add_reading(parser.add_argument_group("which pictures"))
    _add_writing(parser.add_argument_group("where to, and how"))
    _add_running(parser.add_argument_group("runtime"))
    add_tiling_options(parser.add_argument_group("borders and tiles"))
    add_clip_options(parser.add_argument_group("clips and image sequences"))
    add_archive_options(parser.add_argument_group("archives: many workers, by Ray"))
    return parser


def _add_reading(group: Group) -> None:
    group.add_argument(
        "--recursive",
        action="store_true",
        help="read sub-folders too; the output folder gets the same ones",
    )


def _add_writing(group: Group) -> None:
    add = group.add_argument
    add(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a file name for a single picture, else a folder, which is made if need be; for a "
        "clip, a clip or an image sequence",
    )
    add("--format", choices=FORMATS, help="write this format (default: each input's own)")
    add(
        "--quality",
        type=quality,
        default=95,
        metavar="N",
        help="1 to 100, for JPEG and WebP (default: %(default)s)",
    )
    add(
        "--side-by-side",
        action="store_true",
        help="also write NAME_side_by_side.png: before on the left, after on the right; a clip is "
        "itself written so",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="overwrite existing files")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="continue an interrupted run: skip pictures whose outputs exist",
    )


def _add_running(group: Group) -> None:
    add = group.add_argument
    add("--threads", type=count, default=0, metavar="N", help="CPU threads (default: all)")
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where ONNX files and checkpoints run; TensorRT plans run on cuda, all others on "
        "cpu (default: %(default)s)",
    )


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    parser = build_parser()
    clip = is_clip_run(arguments, parser)
    if needs_ray := given_without_ray(arguments):
        parser.error(f"{needs_ray} needs --ray")
    if arguments.ray is not None:
        if clip or arguments.side_by_side:
            parser.error("--ray is for pictures: it takes no clip, nor --side-by-side")
        from .archive.command import run_archive

        return run_archive(arguments)
    if clip:
        from .video.command import run_clip

        return run_clip(arguments)
    sources, missing = find_sources(
        arguments.inputs, recursive=arguments.recursive, output=arguments.output
    )
    suffix = None if arguments.format is None else f".{arguments.format}"
    jobs = plan_jobs(sources, arguments.output, suffix=suffix, side_by_side=arguments.side_by_side)
    checked = check_jobs(jobs, force=arguments.force, skip_existing=arguments.skip_existing)
    _remove_leftovers([*checked.ready, *checked.skipped])
    # Only --json needs the results of all pictures; without it, memory stays constant.
    finished: list[Done] = []
    report = finished.append if arguments.json else _print_done
    ran_on, failed = _run(arguments, checked.ready, report)
    failures = [*missing, *checked.failures, *failed]
    if failures and not checked.ready:
        failures += _check_unused_artifact(arguments.artifact)
    if arguments.json:
        print_json(_json_body(arguments.artifact, ran_on, finished, checked.skipped, failures))
    elif checked.skipped:
        _print_line(f"{len(checked.skipped)} skipped (output exists)")
    _print_failures(failures, max(len(jobs) + len(missing), len(failures)))
    return FAILED if failures else DONE


def _run(
    arguments: argparse.Namespace, jobs: Sequence[Job], report: Callable[[Done], None]
) -> tuple[str | None, list[Failure]]:
    """Deblur the pictures; returns what the artifact ran on, and failures.

    The artifact is opened only now: a wrong file name should not cost the seconds of loading it.
    """
    if not jobs:
        return None, []
    options = TilingOptions(arguments.protocol, arguments.tile, arguments.overlap)
    settings = Settings(options, arguments.quality)
    with (
        open_runner(
            arguments.artifact, threads=arguments.threads, device=arguments.device
        ) as runner,
        progress_bar("deblurring", enabled=not arguments.json) as progress,
    ):
        ran_on = runner.describe()
        return ran_on, run_jobs(runner, jobs, settings, report=report, progress=progress)


def _check_unused_artifact(path: str) -> list[Failure]:
    """What is wrong with an artifact that no picture was ready for: reported along with those."""
    try:
        check_artifact(path)
    except USER_ERRORS as error:
        return [Failure(Path(path), one_line(error))]
    return []


def _remove_leftovers(jobs: Sequence[Job]) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        removed = len(remove_leftovers(folder))
        if removed:
            sys.stderr.write(f"{folder}: removed temporary files of killed runs ({removed})\n")


def _json_body(
    artifact: str,
    ran_on: str | None,
    finished: Sequence[Done],
    skipped: Sequence[Job],
    failures: Sequence[Failure],
) -> dict[str, Any]:
    return {
        "artifact": artifact,
        "ran_on": ran_on,
        "files": [done.to_dict() for done in finished],
        "skipped": [{"input": str(j.source), "output": str(j.target)} for j in skipped],
        "failures": [{"input": str(f.source), "reason": f.reason} for f in failures],
    }


def _print_done(done: Done) -> None:
    tiles = f" in {done.tiles} tiles" if done.tiles > 1 else ""
    # The time of an emulation would be mistaken for the device's.
    emulated = done.infer_ms is None
    inference = "emulated inference" if emulated else f"{done.infer_ms:.0f} ms inference"
    _print_line(
        f"{done.job.source} -> {done.job.target} {done.height}x{done.width} "
        f"{inference}{tiles} + {done.overhead_ms:.0f} ms overhead"
    )
    for remark in done.remarks:
        sys.stderr.write(f"{done.job.source}: {remark}\n")


def _print_line(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()  # the reader has gone; the pictures are still wanted


def _print_failures(failures: Sequence[Failure], jobs: int) -> None:
    if not failures:
        return
    sys.stdout.flush()
    if jobs == 1:
        lines = [f"deblur-run: error: {failures[0]}"]
    else:
        lines = [f"deblur-run: error: {len(failures)} of {jobs} pictures failed"]
        lines += [f"  {failure}" for failure in failures]
    sys.stderr.write("\n".join(lines) + "\n")
