"""Where each picture of a run is written, and whether it can be. Opens no picture."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..command_line.console import one_line
from ..files import check_absent, check_folder_writable
from .sources import Failure, Source
from .write import WRITABLE, format_of

SIDE_BY_SIDE = "_side_by_side.png"


@dataclass(frozen=True)
class Job:
    """One picture: the input, the output, and the before-and-after picture if wanted."""

    source: Path
    target: Path
    side_by_side: Path | None = None

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files that this job writes, all in one folder."""
        return (self.target,) if self.side_by_side is None else (self.target, self.side_by_side)


@dataclass(frozen=True)
class CheckedJobs:
    """Jobs by what can be done with them, each list in the order of the inputs."""

    ready: list[Job]
    skipped: list[Job]
    failures: list[Failure]


def plan_jobs(
    sources: Sequence[Source], output: str, *, suffix: str | None, side_by_side: bool
) -> list[Job]:
    """Choose the output name of every source.

    Args:
        sources: What `find_sources` found.
        output: A file for a single source, else a folder. A name without a picture's ending,
            with a trailing slash, or of an existing folder is a folder.
        suffix: Ending of all outputs, with its dot; None keeps each source's.
        side_by_side: Also write ``<name>_side_by_side.png``.

    Raises:
        ValueError: an ending that cannot be written, two sources with one output, an output
            that is another source, or a file name for several sources.
    """
    target = Path(output)
    folder = target.is_dir() or output.endswith(("/", os.sep)) or not target.suffix
    if not folder and len(sources) > 1:
        raise ValueError(
            f"{output} names a file, but there are {len(sources)} inputs; "
            "name a folder (with a slash at its end)"
        )
    if folder and target.exists() and not target.is_dir():
        raise ValueError(f"{output} is a file, not a folder; choose another -o")
    paths = [_target(source, target, suffix, folder=folder) for source in sources]
    stems = Counter(path.with_suffix("") for path in paths)
    jobs: list[Job] = []
    for source, path in zip(sources, paths, strict=True):
        # x.png and x.tif in one folder: their side-by-side pictures keep the whole name.
        name = path.stem if stems[path.with_suffix("")] == 1 else path.name
        both = path.with_name(name + SIDE_BY_SIDE) if side_by_side else None
        jobs.append(Job(source.path, path, both))
    _check_clashes(jobs)
    return jobs


def check_jobs(jobs: Sequence[Job], *, force: bool, skip_existing: bool = False) -> CheckedJobs:
    """Find out which outputs can be written, and make their folders.

    Args:
        jobs: What `plan_jobs` planned.
        force: Existing outputs may be overwritten.
        skip_existing: A job whose outputs are all there is skipped; an output that is its own
            input is still a failure.
    """
    checked = CheckedJobs([], [], [])
    real_path = _RealPaths()
    folders: dict[Path, str | None] = {}
    for job in jobs:
        try:
            if not force:
                _check_input_is_kept(job, real_path)
            if skip_existing and _is_finished(job):
                checked.skipped.append(job)
                continue
            for target in job.targets:
                check_absent(target, force=force)
        except OSError as error:
            checked.failures.append(Failure(job.source, one_line(error)))
            continue
        folder = job.target.parent
        if folder not in folders:
            folders[folder] = _folder_fault(folder)
        fault = folders[folder]
        if fault is None:
            checked.ready.append(job)
        else:
            checked.failures.append(Failure(job.source, fault))
    return checked


def _check_input_is_kept(job: Job, real_path: _RealPaths) -> None:
    if real_path(job.target) == real_path(job.source):
        raise FileExistsError(
            f"{job.source}: the output would replace the input; choose another -o or add --force"
        )


def _is_finished(job: Job) -> bool:
    """Whether all outputs are there.

    Raises:
        FileExistsError: only some are, as after a run with other options.
    """
    there = [target for target in job.targets if target.is_file()]
    absent = [target for target in job.targets if not target.is_file()]
    if there and absent:
        raise FileExistsError(
            f"{there[0]} exists but {absent[0]} does not; delete {there[0]} to make both again"
        )
    return not absent


def _folder_fault(folder: Path) -> str | None:
    try:
        check_folder_writable(folder)
    except OSError as error:
        return one_line(error)
    return None


def _target(source: Source, target: Path, suffix: str | None, *, folder: bool) -> Path:
    path = target / source.relative if folder else target
    if suffix is not None:
        if not folder and WRITABLE.get(path.suffix.lower()) != WRITABLE[suffix]:
            raise ValueError(f"{target} does not end in {suffix}, which --format asks for")
        path = path.with_suffix(suffix) if folder else path
    _check_suffix(path, source.path)
    return path


def _check_suffix(target: Path, source: Path) -> None:
    try:
        format_of(target)
    except ValueError as error:
        text = f"{source}: cannot write {target.suffix or 'no ending'!r} files; choose one "
        raise ValueError(text + "with --format") from error


def _check_clashes(jobs: Sequence[Job]) -> None:
    real_path = _RealPaths()
    sources = {real_path(job.source) for job in jobs}
    writers: dict[str, Path] = {}
    for job in jobs:
        for target in map(real_path, job.targets):
            if target in writers:
                raise ValueError(
                    f"{writers[target]} and {job.source} would both be written to {target}; "
                    "run them into different folders"
                )
            writers[target] = job.source
            if target in sources and target != real_path(job.source):
                raise ValueError(
                    f"the output of {job.source} would replace the input {target}; "
                    "choose another -o"
                )


class _RealPaths:
    """Absolute paths without links; resolves each folder once, however many files are in it."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        if path.is_symlink():
            return os.path.realpath(path)
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], path.name)  # noqa: PTH118 - ten times faster
