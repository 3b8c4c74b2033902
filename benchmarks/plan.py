"""Plans a benchmark: one job per row, decided before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runtimes.artifact import Manifest
from ..runtimes.command_line.console import USER_ERRORS, one_line
from ..runtimes.files import sha256_of
from ..runtimes.registry import runtime_for
from .quality.reference import ReferenceKey, find_checkpoint, reference_key
from .report.pictures import slug
from .result import Conditions
from .workers.jobs import Job, PictureFiles

REFERENCE = "torch-fp32 (reference{number})"


@dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        engines: Artifacts and checkpoints, in the order of the rows.
        checkpoints: Candidates for references; others come from the manifests' sources.
        conditions: Size, device, runs; the same for all rows.
        pictures: The pairs.
        latency: Measure time and memory.
        quality: Score pictures and drift; brings a row for each reference.
        baselines: ``reference``, ``stock``, ``cuda``: what to measure and compare with.
        pictures_folder: Parent of a folder of report pictures per row; None without a report.
    """

    engines: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    conditions: Conditions
    pictures: tuple[PictureFiles, ...]
    latency: bool = True
    quality: bool = True
    baselines: tuple[str, ...] = ()
    pictures_folder: Path | None = None


@dataclass(frozen=True)
class Entry:
    """A planned row: its job, or the error that keeps it from running.

    Entries with the same ``key`` are compared with the same reference, which is one of them.
    """

    label: str
    job: Job | None = None
    error: str | None = None
    key: ReferenceKey | None = None


@dataclass(frozen=True)
class Engine:
    """What is known of an engine before it runs; ``manifest`` is None for checkpoints."""

    path: Path
    label: str
    manifest: Manifest | None = None
    error: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Fixed (height, width), or None."""
        return self.manifest.input.size if self.manifest else None

    @property
    def checkpoint_sha256(self) -> str:
        """SHA-256 of the weights it was exported from."""
        return self.manifest.checkpoint.sha256 if self.manifest else sha256_of(self.path)

    def find_checkpoint(self, request: Request) -> Path:
        """The checkpoint it was exported from; ValueError if it is not found."""
        if self.manifest is None:
            return self.path
        return find_checkpoint(self.manifest, request.checkpoints, artifact=self.path)


def read_engines(request: Request) -> list[Engine]:
    """Read every engine's manifest; an engine that cannot be measured holds its error."""
    names = labels(request.engines)
    return [_read(path, name, request) for path, name in zip(request.engines, names, strict=True)]


def labels(engines: Sequence[Path]) -> list[str]:
    """File names, or whole paths where two files share a name."""
    names = [path.name for path in engines]
    return [path.name if names.count(path.name) == 1 else str(path) for path in engines]


def _read(path: Path, label: str, request: Request) -> Engine:
    try:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; make one with deblur-export")
        runtime = runtime_for(path)
        # A checkpoint is PyTorch itself: there is no conversion whose drift could be measured.
        if runtime.name == "torch":
            return Engine(path, label)
        engine = Engine(path, label, runtime.runner.read_manifest(path))
        if request.conditions.sizes and engine.size is not None:
            raise ValueError(
                f"{path}: its size is fixed at {engine.size[0]}x{engine.size[1]}, so --sizes "
                "cannot measure it; export it with --dynamic"
            )
        _check_sizes(engine, request.conditions)
        return engine
    except USER_ERRORS as error:
        return Engine(path, label, error=one_line(error))


def _check_sizes(engine: Engine, conditions: Conditions) -> None:
    """ValueError unless the sizes to measure a file of free size at suit its network."""
    if engine.manifest is None or engine.size is not None:
        return
    step = engine.manifest.size_multiple
    least = engine.manifest.smallest_side or step
    allowed = f"multiples of {step}" + (f", at least {least}" if least > step else "")
    for height, width in conditions.sizes or (conditions.size,):
        if height % step or width % step or min(height, width) < least:
            up = "x".join(str(max(-(-side // step) * step, least)) for side in (height, width))
            raise ValueError(
                f"{engine.path}: cannot be measured at {height}x{width}: both sides must be "
                f"{allowed}; the next larger is {up}"
            )


def engine_entries(request: Request, engines: Sequence[Engine]) -> list[Entry]:
    """Entries in the engines' order, each reference before the first entry that needs it."""
    if request.conditions.sizes:
        return _sweep(request, engines)
    if not request.quality:
        return [_entry(request, engine) for engine in engines]
    found = [_entry_with_key(request, engine) for engine in engines]
    keys = list(dict.fromkeys(entry.key for entry, _ in found))
    compared = [key for key in keys if key is not None]
    entries: list[Entry] = []
    for key in keys:
        members = [(entry, path) for entry, path in found if entry.key == key]
        label = ""
        if key is not None:
            number = f" {compared.index(key) + 1}" if len(compared) > 1 else ""
            label = REFERENCE.format(number=number)
            entries.append(_reference(request, key, members[0][1], label))
        entries += [with_reference_label(entry, label) for entry, _ in members]
    return entries


def with_reference_label(entry: Entry, label: str) -> Entry:
    """The entry with the name of its reference in its job."""
    if entry.job is None or entry.key is None:
        return entry
    return dataclasses.replace(entry, job=dataclasses.replace(entry.job, reference_label=label))


def job_for(
    request: Request, path: Path, label: str, *, size: tuple[int, int] | None = None
) -> Job:
    """A job of this request, at ``size`` or the requested one."""
    folder = request.pictures_folder
    conditions = dataclasses.replace(
        request.conditions, size=size or request.conditions.size, sizes=()
    )
    return Job(
        engine=str(path),
        label=label,
        conditions=conditions,
        pictures=request.pictures,
        latency=request.latency,
        quality=request.quality,
        pictures_folder=str(folder / slug(label)) if folder is not None else None,
    )


def _entry(request: Request, engine: Engine, *, size: tuple[int, int] | None = None) -> Entry:
    if engine.error is not None:
        return Entry(engine.label, error=engine.error)
    return Entry(engine.label, job_for(request, engine.path, engine.label, size=size))


def _sweep(request: Request, engines: Sequence[Engine]) -> list[Entry]:
    """Every engine at every size; an engine with an error gets one entry."""
    entries: list[Entry] = []
    for engine in engines:
        sizes = request.conditions.sizes if engine.error is None else (None,)
        entries += [_entry(request, engine, size=size) for size in sizes]
    return entries


def _entry_with_key(request: Request, engine: Engine) -> tuple[Entry, Path | None]:
    """The entry with its reference's key and checkpoint, both None where there is none."""
    entry = _entry(request, engine)
    if entry.job is None or engine.manifest is None or runtime_for(engine.path).runner.cannot_run():
        return entry, None
    try:
        path = engine.find_checkpoint(request)
    except USER_ERRORS as error:
        return Entry(engine.label, error=one_line(error)), None
    return dataclasses.replace(entry, key=reference_key(engine.manifest)), path


def _reference(request: Request, key: ReferenceKey, path: Path | None, label: str) -> Entry:
    assert path is not None  # found together with the key
    job = dataclasses.replace(
        job_for(request, path, label),
        reference_norm=key.norm,
        reference_size=key.size,
        reference_label=label,
    )
    return Entry(label, job, key=key)
