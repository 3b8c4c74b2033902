"""``deblur-run --ray``: from parsed options to outputs, a file of failures, and a summary."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..command_line.console import DONE, FAILED, print_json, progress_bar
from ..files import check_folder_writable, sha256_of
from ..machine import usable_cores
from ..pictures.batch import Settings
from ..pictures.tiling import TilingOptions
from ..pictures.write import WRITABLE
from ..registry import check_artifact, runtime_for
from .arguments import DEFAULT_RETRIES
from .bundle import pack
from .marker import Fingerprint, claim_folder
from .plan import Item, plan_items, unfinished
from .ray_pipeline import RAN_ON, Reading, Workers, run_pipeline
from .ray_session import LOCAL, ray_session
from .shards import Columns
from .stores import is_remote, local_path, store_for
from .summary import Summary, Tally, failure_lines, write_failures
from .worker import WorkSettings


def run_archive(arguments: argparse.Namespace) -> int:
    """Run the parsed command; returns the exit code: 1 if a picture failed.

    Raises:
        ValueError, OSError, MissingDependencyError: nothing was done, or Ray ended early.
    """
    begin = time.perf_counter()
    artifact = Path(arguments.artifact)
    check_artifact(artifact)
    output = _output_folder(arguments.output)
    suffix = None if arguments.format is None else f".{arguments.format}"
    items, missing = plan_items(
        arguments.inputs, output, recursive=arguments.recursive, suffix=suffix
    )
    store = store_for(output)
    since_s, items, skipped = _claim(arguments, output, items)
    tally = Tally(skipped=skipped, failures=list(missing))
    ran = _Ran()
    try:
        if items:
            reading = Reading(_columns(arguments), suffix, since_s)
            _run(arguments, artifact, items, _settings(arguments, output), reading, tally, ran)
    except BaseException:  # also Ctrl-C: what failed so far; an older file stays if nothing did
        if tally.failures:
            write_failures(store, output, tally.failures)
        raise
    write_failures(store, output, tally.failures)
    summary = Summary(
        artifact=arguments.artifact,
        artifact_sha256=sha256_of(artifact),
        output=output,
        ran_on=ran.ran_on,
        workers=ran.workers.count,
        threads=ran.workers.threads,
        wall_s=time.perf_counter() - begin,
        price=arguments.price,
        tally=tally,
    )
    return _report(summary, as_json=arguments.json)


@dataclass
class _Ran:
    """What a run learns of its workers."""

    workers: Workers = field(default_factory=lambda: Workers(0, 0))
    ran_on: str | None = None


def plan_workers(
    *, actors: int | None, threads: int, cores: int, gpus: float, device: str, local: bool
) -> Workers:
    """How many workers, with how many threads, so that they together have no more than the cores.

    One thread each gives the most pictures a second, where memory allows a runner for every core:
    threads of one runner wait for each other, processes do not.

    Args:
        actors: Workers that were asked for; None: as many as the cores, or GPUs' shares, allow.
        threads: Threads of each that were asked for; 0: what the workers leave.
        cores: Of the machine, or of the whole cluster.
        gpus: GPUs of each worker.
        device: ``cpu`` or ``cuda``.
        local: Whether more than the cores is an error; a cluster may grow.

    Raises:
        ValueError: more threads than cores on this machine.
    """
    if actors is None:
        threads = threads or 1
        actors = max(1, cores // threads)
    threads = threads or max(1, cores // actors)
    if local and actors * threads > cores:
        raise ValueError(
            f"{actors} workers of {threads} threads are more than this machine's {cores} cores; "
            "choose fewer --actors or --threads"
        )
    return Workers(actors, threads, gpus, device)


def _run(
    arguments: argparse.Namespace,
    artifact: Path,
    items: Sequence[Item],
    settings: WorkSettings,
    reading: Reading,
    tally: Tally,
    ran: _Ran,
) -> None:
    """Deblur the items; adds to ``tally`` and ``ran``."""
    planned = _workers(arguments, usable_cores(), None)  # wrong numbers are told before Ray starts
    with (
        ray_session(arguments.ray, cpus=usable_cores()) as ray,
        progress_bar("deblurring", enabled=not arguments.json, rate="pictures/s") as progress,
    ):
        if arguments.ray != LOCAL:
            resources = ray.cluster_resources()
            cores, gpus = int(resources.get("CPU", 1)), resources.get("GPU", 0.0)
            planned = _workers(arguments, cores, float(gpus))
        ran.workers = planned
        known = not any(item.is_shard for item in items)
        for result in run_pipeline(ray, pack(artifact), items, planned, settings, reading):
            if result.status == RAN_ON:
                ran.ran_on = result.reason
                continue
            tally.add(result)
            done = tally.done + len(tally.failures)
            progress(done, max(len(items), done) if known else done)


def _workers(arguments: argparse.Namespace, cores: int, cluster_gpus: float | None) -> Workers:
    """The workers of this machine, or of a cluster with so many cores and GPUs."""
    runner = runtime_for(Path(arguments.artifact)).runner
    device = "cuda" if runner.devices == ("cuda",) else arguments.device
    gpus = arguments.gpus if arguments.gpus is not None else float(device == "cuda")
    actors = arguments.actors
    if actors is None and gpus and cluster_gpus:
        actors = max(1, int(cluster_gpus / gpus))
    return plan_workers(
        actors=actors,
        threads=arguments.threads,
        cores=cores,
        gpus=gpus,
        device=device,
        local=cluster_gpus is None and arguments.ray == LOCAL,
    )


def _claim(
    arguments: argparse.Namespace, output: str, items: Sequence[Item]
) -> tuple[float, list[Item], int]:
    """Mark the output folder; returns since when its outputs count, what is left, and skipped."""
    store = store_for(output)
    there = store.listing(output)
    if not items:
        return 0.0, [], 0
    outputs = {item.output for item in items if not item.is_shard}
    folders = tuple(f"{item.output}/" for item in items if item.is_shard)
    since_s = claim_folder(
        store,
        output,
        _fingerprint(arguments),
        force=arguments.force,
        there=there,
        wanted=lambda name: name in outputs or name.startswith(folders),
    )
    left, skipped = unfinished(items, there, since_s)
    return since_s, left, skipped


def _fingerprint(arguments: argparse.Namespace) -> Fingerprint:
    return Fingerprint(
        artifact_sha256=sha256_of(Path(arguments.artifact)),
        format=arguments.format,
        quality=arguments.quality,
        protocol=arguments.protocol,
        tile=arguments.tile,
        overlap_px=arguments.overlap,
    )


def _settings(arguments: argparse.Namespace, output: str) -> WorkSettings:
    options = TilingOptions(arguments.protocol, arguments.tile, arguments.overlap)
    retries = DEFAULT_RETRIES if arguments.retries is None else arguments.retries
    return WorkSettings(output, Settings(options, arguments.quality), retries)


def _columns(arguments: argparse.Namespace) -> Columns:
    return Columns(arguments.column or Columns.picture, arguments.name_column)


def _output_folder(given: str) -> str:
    """The output folder's address, absolute, since workers may run in another folder.

    Raises:
        ValueError: it names a file.
    """
    if is_remote(given):
        return given.rstrip("/")
    path = local_path(given)
    if path.is_file() or (path.suffix.lower() in WRITABLE and not path.is_dir()):
        raise ValueError(f"{given} names a file; with --ray, -o names a folder")
    check_folder_writable(path)
    return str(path.resolve())


def _report(summary: Summary, *, as_json: bool) -> int:
    tally = summary.tally
    if as_json:
        print_json(summary.to_dict())
    else:
        sys.stdout.write("\n".join(summary.lines()) + "\n")
    pictures = tally.done + tally.skipped + len(tally.failures)
    told = failure_lines(tally.failures, summary.output, pictures)
    sys.stdout.flush()
    sys.stderr.write("".join(f"{line}\n" for line in told))
    return FAILED if tally.failures else DONE
