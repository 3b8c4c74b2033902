"""Measures several artifacts, each in its own process, next to their PyTorch references."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runtimes.console import USER_ERRORS, one_line, progress_bar
from ..runtimes.registry import runtime_for
from .jobs import Job, PictureFiles, run_job
from .reference import ReferenceKey, find_checkpoint, reference_key
from .report.pictures import slug
from .result import Conditions, Row

REFERENCE = "torch-fp32 (reference{number})"


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        engines: Artifacts and checkpoints, in the order of the rows.
        checkpoints: Files offered as references; others come from the manifests' sources.
        conditions: The same for all.
        pictures: The pairs.
        latency: Measure time and memory.
        quality: Score pictures and drift; brings a row for each reference.
        shown_folder: Pictures for the report go into a folder per row in here; None for none.
    """

    engines: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    conditions: Conditions
    pictures: tuple[PictureFiles, ...]
    latency: bool = True
    quality: bool = True
    shown_folder: Path | None = None


@dataclass(frozen=True)
class _Planned:
    """An engine, with the reference it needs, or the error that keeps it from running."""

    path: Path
    label: str
    key: ReferenceKey | None = None
    checkpoint: Path | None = None
    error: str | None = None


def run_bench(request: Request) -> tuple[Row, ...]:
    """Measure everything; a row that failed says why and the others go on.

    Raises:
        ValueError: no engines or no pictures.
        FileNotFoundError: an offered checkpoint is not there.
    """
    if not request.engines or not request.pictures:
        raise ValueError("nothing to measure: give at least one --engine, and data with pairs")
    for path in request.checkpoints:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint; check --checkpoint")
    planned = [
        _plan(path, label, request)
        for path, label in zip(request.engines, labels(request.engines), strict=True)
    ]
    # Grouped by reference, so that only one reference's outputs lie on the disk at a time.
    keys = list(dict.fromkeys(plan.key for plan in planned))
    compared = [key for key in keys if key is not None]
    rows: list[Row] = []
    for key in keys:
        members = [plan for plan in planned if plan.key == key]
        if key is None:
            rows += _plain_rows(request, members)
        else:
            number = f" {compared.index(key) + 1}" if len(compared) > 1 else ""
            rows += _group(request, key, members, REFERENCE.format(number=number))
    return tuple(rows)


def labels(engines: Sequence[Path]) -> list[str]:
    """File names, or whole paths where two files share a name."""
    names = [path.name for path in engines]
    return [path.name if names.count(path.name) == 1 else str(path) for path in engines]


def _plan(path: Path, label: str, request: Request) -> _Planned:
    try:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; make one with deblur-export")
        runtime = runtime_for(path)
        # A checkpoint is PyTorch itself: there is no conversion whose drift could be measured.
        if runtime.name == "torch" or not request.quality:
            return _Planned(path, label)
        manifest = runtime.runner.read_manifest(path)
        checkpoint = find_checkpoint(manifest, request.checkpoints, artifact=path)
        return _Planned(path, label, reference_key(manifest), checkpoint)
    except USER_ERRORS as error:
        return _Planned(path, label, error=one_line(error))


def _plain_rows(request: Request, members: Sequence[_Planned]) -> list[Row]:
    """Rows that need no reference, and those that cannot be measured at all."""
    return [
        Row(engine=plan.label, error=plan.error)
        if plan.error is not None
        else _run(request, _job(request, plan.path, plan.label))
        for plan in members
    ]


def _group(
    request: Request, key: ReferenceKey, members: Sequence[_Planned], label: str
) -> list[Row]:
    """A reference and the artifacts that are compared with it."""
    checkpoint = members[0].checkpoint
    assert checkpoint is not None  # planned together with the key
    folder = Path(tempfile.mkdtemp(prefix="edgedeblur-reference-"))
    try:
        base = dataclasses.replace(
            _job(request, checkpoint, label), reference_folder=str(folder), reference_label=label
        )
        reference = _run(
            request,
            dataclasses.replace(base, reference_norm=key.norm, reference_size=key.size),
        )
        rows = [reference]
        for plan in members:
            job = dataclasses.replace(
                _job(request, plan.path, plan.label),
                reference_folder=str(folder),
                reference_label=label,
                quality=reference.error is None,
            )
            row = _run(request, job)
            if reference.error is not None and row.error is None:
                lost = f"{plan.label}: quality was not measured, since its reference failed"
                row = dataclasses.replace(row, error=lost)
            rows.append(row)
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job(request: Request, path: Path, label: str) -> Job:
    shown = request.shown_folder
    return Job(
        engine=str(path),
        label=label,
        conditions=request.conditions,
        pictures=request.pictures,
        latency=request.latency,
        quality=request.quality,
        shown_folder=str(shown / slug(label)) if shown is not None else None,
    )


def _run(request: Request, job: Job) -> Row:
    with progress_bar(job.label, enabled=request.quality) as update:
        return run_job(job, update)
