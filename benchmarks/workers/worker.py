"""A worker process: reads one job from standard input, writes one row to the file it is given.

Started by `jobs.run_job`, not by users.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ...runtimes.artifact import Manifest
from ...runtimes.base import Runner
from ...runtimes.command_line.console import USER_ERRORS, one_line
from ...runtimes.files import sha256_of
from ...runtimes.registry import open_runner, runtime_for
from ..baselines.runners import BASELINE_RUNTIMES
from ..result import Row
from ..serialise import from_json_types, to_json_types
from ..timing.latency import LoadCost, measure_latency, timed_open
from .jobs import PROGRESS, Job

Phase = Callable[[Row], Row]


def main() -> int:
    """Measure the job; an error meant for users becomes the row's ``error``."""
    job = from_json_types(Job, json.loads(sys.stdin.read()), origin="job")
    row = measure(job)
    Path(sys.argv[1]).write_text(json.dumps(to_json_types(row), allow_nan=False), encoding="utf-8")
    return 0


def measure(job: Job) -> Row:
    """Open the artifact and run the phases; if one fails, the row keeps the earlier results."""
    row = Row(engine=job.label, is_reference=job.reference_norm is not None, baseline=job.baseline)
    try:
        module = _runtime_module(job)
        reason = _cannot_run(job)
        if reason is not None:
            return _row_without_running(job, row, reason)
        runner, load_cost = timed_open(module, lambda: _open(job))
        with runner:
            row = dataclasses.replace(
                row,
                runtime=module,
                target=runner.manifest.target,
                backbone=runner.manifest.backbone,
                network=runner.manifest.network,
                norm=runner.manifest.norm,
                runs_as=runner.describe(),
                precision=runner.precision,
                sha256=sha256_of(runner.path),
                checkpoint_sha256=runner.manifest.checkpoint.sha256,
                emulated=runner.emulated,
            )
            for phase in _phases(job, runner, load_cost):
                row = phase(row)
    except USER_ERRORS as error:
        text = one_line(error)
        where = "" if text.startswith((job.engine, job.label)) else f"{job.label}: "
        row = dataclasses.replace(row, error=f"{where}{text}")
    return row


def _cannot_run(job: Job) -> str | None:
    """Why this machine cannot run the artifact; None if it can, and for PyTorch and baselines."""
    if job.baseline_runtime is not None or job.reference_norm is not None:
        return None
    return runtime_for(Path(job.engine)).runner.cannot_run()


def _row_without_running(job: Job, row: Row, reason: str) -> Row:
    """The row of an artifact that cannot run here: only what its files hold."""
    path = Path(job.engine)
    runner = runtime_for(path).runner
    manifest = runner.read_manifest(path)
    row = dataclasses.replace(
        row,
        target=manifest.target,
        backbone=manifest.backbone,
        network=manifest.network,
        norm=manifest.norm,
        sha256=manifest.sha256,
        checkpoint_sha256=manifest.checkpoint.sha256,
        verified=f"not run here: {reason}. {_verification(manifest)}",
    )
    if job.footprint:
        from ..counts.footprint import measure_footprint

        size = manifest.input.size or job.conditions.size
        row = dataclasses.replace(row, footprint=measure_footprint(path, manifest, size))
    if job.latency:
        needs = " or ".join(device for device in runner.devices)
        error = (
            f"{job.label}: latency needs a {needs} device, and this machine has {reason}; measure "
            "it where the artifact runs, or leave times out with --no-latency"
        )
        row = dataclasses.replace(row, error=error)
    return row


def _verification(manifest: Manifest) -> str:
    """What the manifest says about parity and int8 cost, in one sentence."""
    parity = manifest.parity
    if parity is None:
        return "Its manifest holds no comparison with PyTorch"
    what = parity.note or parity.ran_on
    text = (
        f"Verified at export ({what}): PSNR to PyTorch {parity.psnr_db:.2f} dB, worst "
        f"{parity.worst_psnr_db:.2f} dB, residual SNR {parity.residual_snr_db:.2f} dB on "
        f"{parity.pictures} samples"
    )
    cost = manifest.quantisation
    if cost is not None:
        text += f"; against sharp pictures {-cost.psnr_drop_db:+.3f} dB on {cost.pictures} samples"
    return text


def _runtime_module(job: Job) -> str:
    """The runtime's package, imported before opening; a missing file is reported first."""
    if not Path(job.engine).exists():
        raise FileNotFoundError(f"{job.engine}: no such file; make one with deblur-export")
    if job.baseline_runtime:
        return BASELINE_RUNTIMES[job.baseline_runtime].module
    return runtime_for(Path(job.engine)).module


def _open(job: Job) -> Runner:
    conditions = job.conditions
    if job.baseline_runtime is not None:
        baseline = BASELINE_RUNTIMES[job.baseline_runtime]
        return baseline.open(Path(job.engine), threads=conditions.threads, device=conditions.device)
    if job.reference_norm is None:
        hints = runtime_for(Path(job.engine)).runner.hints
        hint = conditions.hint if conditions.hint in hints else "latency"
        return open_runner(
            job.engine, threads=conditions.threads, device=conditions.device, hint=hint
        )
    from ...runtimes.run_torch import open_reference

    return open_reference(
        Path(job.engine),
        norm=job.reference_norm,
        size=job.reference_size,
        threads=conditions.threads,
        device=conditions.device,
    )


def _phases(job: Job, runner: Runner, load_cost: LoadCost) -> list[Phase]:
    """The phases to run, in order.

    Latency is first, so that its peak memory does not include counting and comparing. An emulated
    artifact has no latency: neither time nor memory would be the runtime's.
    """

    def latency(row: Row) -> Row:
        from ..quality.measure import read_rgb8

        first = job.pictures[0]
        picture = read_rgb8(first.blurry)
        measured = measure_latency(runner, picture, first.name, job.conditions, load_cost)
        return dataclasses.replace(row, latency=measured)

    def footprint(row: Row) -> Row:
        from ..counts.footprint import measure_footprint

        size = runner.size or job.conditions.size
        measured = measure_footprint(runner.path, runner.manifest, size)
        return dataclasses.replace(row, footprint=measured)

    def quality(row: Row) -> Row:
        return _quality(job, runner, row)

    timed = job.latency and not runner.emulated
    wanted = ((latency, timed), (footprint, job.footprint), (quality, job.quality))
    return [phase for phase, asked in wanted if asked]


def _quality(job: Job, runner: Runner, row: Row) -> Row:
    from ..quality.measure import Gallery, measure_quality
    from ..quality.reference_outputs import ReferenceReader, ReferenceWriter
    from ..report.pictures import write_each, write_pictures

    folder = Path(job.reference_folder) if job.reference_folder else None
    is_reference = job.reference_norm is not None
    gallery = None
    if job.pictures_folder is not None:
        to = Path(job.pictures_folder)
        gallery = Gallery(lambda picture, number: write_each(picture, number, to))
    measured = measure_quality(
        runner,
        job.pictures,
        job.conditions.protocol,
        writer=ReferenceWriter(folder, len(job.pictures)) if folder and is_reference else None,
        reader=ReferenceReader(folder, job.reference_label)
        if folder and not is_reference
        else None,
        gallery=gallery,
        progress=_report_progress,
    )
    if gallery is not None and job.pictures_folder is not None:
        write_pictures(gallery.pictures, Path(job.pictures_folder))
    return dataclasses.replace(row, quality=measured)


def _report_progress(done: int, total: int) -> None:
    sys.stdout.write(f"{PROGRESS}{done} {total}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
