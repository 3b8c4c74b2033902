"""Command ``deblur-export``: a checkpoint becomes an artifact with a manifest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.network.registry import backbone_names, get_network
from ..runtimes.command_line.console import DONE, console, print_json, progress_bar, run_command
from .arguments import build_parser
from .batch import Job, LogStep, export_batch, report
from .build import (
    DEFAULT_SIZE,
    Settings,
    export_notes,
    job_builder,
    output_path,
    with_quantisation_plan,
)
from .options import option_values, unused_flags
from .registry import Target
from .summary import list_operators, list_targets, print_summary, print_tuning

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint
    from ..models.network.network import Network
    from ..runtimes.artifact import Manifest

    Build = Callable[[Job, LogStep], Manifest]


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="export")


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    if arguments.list:
        return list_targets(as_json=arguments.json)
    if arguments.operators is not None:
        return list_operators(arguments.operators, as_json=arguments.json)
    if arguments.target is None:
        build_parser().error("--target is required (deblur-export --list shows them)")
    if arguments.backbone is None and arguments.checkpoint is None:
        build_parser().error("--backbone is required unless --checkpoint FILE tells it")
    if arguments.triton is None and arguments.triton_python:
        build_parser().error("--triton-python goes with --triton DIR")
    if arguments.tune and arguments.dynamic:
        build_parser().error("--tune times one size; leave out --dynamic")
    chosen: list[Target] = list(dict.fromkeys(arguments.target))
    sizes = list(dict.fromkeys(arguments.size or [DEFAULT_SIZE]))
    if arguments.tune and len(chosen) * len(sizes) > 1:
        build_parser().error("--tune takes one --target and one --size")
    options = _target_options(chosen, arguments)
    if arguments.backbone in backbone_names():
        _check_sizes(get_network(arguments.backbone), sizes)
    threads, checkpoint = _load_checkpoint(arguments)
    profiles = [tuple(s) for o in options.values() for s in o.get("profile") or ()]
    _check_sizes(checkpoint.described, [*sizes, *profiles])
    jobs = _make_jobs(chosen, sizes, options, checkpoint, arguments)
    if arguments.tune:
        return run_tuning(arguments, checkpoint, jobs[0], threads)
    return export(arguments, checkpoint, jobs, threads)


def _check_sizes(network: Network, sizes: Sequence[tuple[int, int]]) -> None:
    """A usage error ends the program where a size does not suit the network."""
    for size in sizes:
        try:
            network.check_size(*size)
        except ValueError as error:
            build_parser().error(str(error))


def _target_options(
    chosen: Sequence[Target], arguments: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The options of each target, by target name; a usage error ends the program."""
    usage_error = build_parser().error
    names = ", ".join(target.name for target in chosen)
    quantised = any(target.needs_calibration for target in chosen)
    if not quantised and (arguments.calib or arguments.recipe):
        usage_error(f"{names}: not quantised; leave out --calib and --recipe")
    for target in chosen:
        if arguments.dynamic and not target.free_size:
            usage_error(f"{target.name} has a fixed size; leave out --dynamic")
    for flag in unused_flags(chosen, arguments):
        usage_error(f"{names} {'has' if len(chosen) == 1 else 'have'} no {flag}")
    try:
        return {target.name: option_values(target, arguments) for target in chosen}
    except ValueError as error:
        usage_error(str(error))


def _make_jobs(
    chosen: Sequence[Target],
    sizes: Sequence[tuple[int, int]],
    options: Mapping[str, dict[str, Any]],
    checkpoint: Checkpoint,
    arguments: argparse.Namespace,
) -> list[Job]:
    """One job for every target and size; one for each target if the size is dynamic.

    Raises:
        ValueError: several artifacts for one file name, or a wrong file suffix.
    """
    from .graph import ExportSpec

    dynamic: bool = arguments.dynamic
    pairs = [(target, size) for size in (sizes[:1] if dynamic else sizes) for target in chosen]
    wanted: Path = arguments.output
    if len(pairs) > 1 and wanted.suffix and not wanted.is_dir():
        raise ValueError(f"{wanted}: {len(pairs)} artifacts need a folder; give --output DIR")
    jobs: list[Job] = []
    for target, size in pairs:
        spec = ExportSpec(target.name, size, dynamic=dynamic, options=options[target.name])
        path = output_path(wanted, target, checkpoint.network, size, dynamic=dynamic)
        jobs.append(Job(target, spec, path))
    return jobs


def _load_checkpoint(arguments: argparse.Namespace) -> tuple[int, Checkpoint]:
    """The thread count and the checkpoint, downloaded if needed."""
    from ..models.checkpoints.checkpoint import load_checkpoint
    from ..models.checkpoints.sources import default_source, resolve_source
    from ..runtimes.machine import usable_cores
    from ..runtimes.optional import require

    threads: int = arguments.threads or usable_cores()
    require("torch", extra="export").set_num_threads(threads)
    source = arguments.checkpoint or default_source(arguments.backbone)
    with progress_bar(f"fetching {source}", enabled=source == "released") as progress:
        resolve_source(source, backbone=arguments.backbone, progress=progress)
    return threads, load_checkpoint(source, backbone=arguments.backbone)


def export(
    arguments: argparse.Namespace, checkpoint: Checkpoint, jobs: Sequence[Job], threads: int
) -> int:
    """Export all jobs from one prepared network, and report the results."""
    from .prepare import norm_warning

    norm = arguments.norm or checkpoint.norm
    if norm != checkpoint.norm:
        sys.stderr.write(f"deblur-export: warning: {norm_warning(norm, checkpoint.norm)}\n")
    settings = _settings(arguments, threads)
    build = _with_triton(job_builder(checkpoint, settings), arguments)
    if len(jobs) > 1:
        with console(stderr=True).status("starting") as status:
            outcomes = export_batch(jobs, build, status.update)
        for outcome in outcomes:
            if outcome.manifest is not None:
                warn_if_unstable(outcome.manifest)
        notes = [
            f"{outcome.job.target.name} {outcome.job.size}: {note}"
            for outcome in outcomes
            if outcome.manifest is not None
            for note in export_notes(outcome.job, outcome.manifest, checkpoint, settings)
        ]
        return report(outcomes, as_json=arguments.json, notes=notes)
    with console(stderr=True).status("starting") as status:
        manifest = build(jobs[0], status.update)
    warn_if_unstable(manifest)
    if arguments.json:
        print_json({"artifact": str(jobs[0].output), "manifest": manifest.to_dict()})
    else:
        notes = export_notes(jobs[0], manifest, checkpoint, settings)
        print_summary(jobs[0].output, manifest, notes)
    return DONE


def _with_triton(build: Build, arguments: argparse.Namespace) -> Build:
    """``build``, and what ``--triton`` writes of its artifact."""
    if arguments.triton is None:
        return build
    from .triton.configs import TritonOptions
    from .triton.repository import write_models

    options = TritonOptions(
        repository=arguments.triton,
        batch=arguments.triton_batch,
        instances=arguments.triton_instances,
        python=arguments.triton_python,
        threads=arguments.threads or 1,
    )

    def build_both(job: Job, log: LogStep) -> Manifest:
        manifest = build(job, log)
        log(f"writing it into {options.repository}")
        write_models(job.output, manifest, options, force=arguments.force)
        return manifest

    return build_both


def _settings(arguments: argparse.Namespace, threads: int) -> Settings:
    return Settings(
        norm=arguments.norm,
        rewrite=arguments.rewrite,
        calibration=arguments.calib,
        calibration_count=arguments.calib_count,
        recipe=arguments.recipe,
        max_drop_db=arguments.max_drop,
        threads=threads,
        force=arguments.force,
    )


def warn_if_unstable(manifest: Manifest) -> None:
    """Warn on stderr if the two halves of the calibration pictures give different networks."""
    from ..quantize.pipeline import UNSTABLE_DB

    cost = manifest.quantisation
    if cost is not None and cost.stability_db is not None and cost.stability_db > UNSTABLE_DB:
        sys.stderr.write(
            f"deblur-export: warning: the two halves of the calibration pictures give networks "
            f"{cost.stability_db:.3f} dB apart; calibrate on more pictures (--calib)\n"
        )


def run_tuning(
    arguments: argparse.Namespace, checkpoint: Checkpoint, job: Job, threads: int
) -> int:
    """Time the candidate rewrites and record the fastest."""
    from .prepare import prepare, with_cached_reference
    from .produce import produce
    from .rewrites.rewrite import parse_steps
    from .rewrites.tables import table_key, user_table
    from .rewrites.tune import choose_fastest, tune

    target, spec = job.target, job.spec
    table: Path = arguments.table or user_table()
    prepared = with_cached_reference(prepare(checkpoint, norm="frozen"))  # one for all candidates

    def build(text: str, path: Path) -> None:
        steps = parse_steps(text)
        produce(target, checkpoint, spec, path, norm="frozen", rewrites=steps, prepared=prepared,
                force=True, threads=threads)  # fmt: skip

    with console(stderr=True).status("starting") as status:
        settings = _settings(arguments, threads)
        spec = with_quantisation_plan(spec, target, checkpoint, settings, status.update)
        measured = tune(target, checkpoint, spec, arguments.output, table, threads=threads,
                        rounds=arguments.rounds, build=build, log=status.update)  # fmt: skip
    if arguments.json:
        print_json({"table": str(table), "candidates": [vars(m) for m in measured]})
    else:
        key = table_key(target.name, checkpoint.key)
        print_tuning(key, measured, choose_fastest(measured), table)
    return DONE
