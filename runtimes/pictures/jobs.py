"""Which pictures a run reads and under which names it writes them. Reads no picture."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import check_writable
from .read import READABLE, WRITABLE
from .write import format_of

SIDE_BY_SIDE = "_side_by_side.png"


@dataclass(frozen=True)
class Source:
    """One input: the file, and its name relative to the folder that was given."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Missing:
    """An input that is not there, and why, on one line."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Job:
    """One picture: where it comes from, where it goes, where before-and-after goes if wanted."""

    source: Path
    target: Path
    side_by_side: Path | None = None

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files that this job writes."""
        return (self.target,) if self.side_by_side is None else (self.target, self.side_by_side)


def find_sources(
    patterns: Sequence[str], *, recursive: bool, output: str
) -> tuple[list[Source], list[Missing]]:
    """Expand files, folders and glob patterns; sorted within each, none twice.

    Folders and patterns give files whose ending is in `READABLE`; a file named by itself is
    taken whatever its ending. An output folder inside a folder that is read recursively is left
    out: it holds the results of an earlier run. A link counts as a picture of its own.

    Returns:
        What was found, and what is missing: files that are not there, folders and patterns that
        hold no picture.
    """
    found: dict[str, Source] = {}
    missing: list[Missing] = []
    for pattern in patterns:
        try:
            sources = _expand(pattern, recursive=recursive, output=Path(output).resolve())
        except FileNotFoundError as error:
            missing.append(Missing(Path(pattern), str(error)))
            continue
        for source in sources:
            found.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100 - keeps links
    return list(found.values()), missing


def plan_jobs(
    sources: Sequence[Source], output: str, *, suffix: str | None, side_by_side: bool
) -> list[Job]:
    """Give every source its output name.

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
        beside = path.with_name(name + SIDE_BY_SIDE) if side_by_side else None
        jobs.append(Job(source.path, path, beside))
    _check_clashes(jobs)
    return jobs


def _target(source: Source, target: Path, suffix: str | None, *, folder: bool) -> Path:
    path = target / source.relative if folder else target
    if suffix is not None:
        if not folder and WRITABLE.get(path.suffix.lower()) != WRITABLE[suffix]:
            raise ValueError(f"{target} does not end in {suffix}, which --format asks for")
        path = path.with_suffix(suffix) if folder else path
    _check_suffix(path, source.path)
    return path


def check_job(job: Job, *, force: bool) -> None:
    """Whether the job's outputs may and can be written; makes their folder.

    Raises:
        OSError: an output exists (or is the input itself) and ``force`` is false, or its folder
            cannot be written.
    """
    if not force and job.target.resolve() == job.source.resolve():
        raise FileExistsError(
            f"{job.source}: the output would replace the input; choose another -o or add --force"
        )
    for target in job.targets:
        check_writable(target, force=force)


def _expand(pattern: str, *, recursive: bool, output: Path) -> list[Source]:
    path = Path(pattern)
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        if output != path.resolve():
            files = [f for f in files if output not in f.resolve().parents]
        sources = [Source(f, f.relative_to(path)) for f in files if _is_picture(f)]
        if not sources:
            deeper = "" if recursive else " (sub-folders are read with --recursive)"
            raise FileNotFoundError(f"{pattern}: no {'/'.join(READABLE)} in this folder{deeper}")
        return sources
    if path.exists():
        return [Source(path, Path(path.name))]
    if not glob.has_magic(pattern):
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    files = sorted(Path(name) for name in glob.glob(pattern, recursive=recursive))  # noqa: PTH207
    sources = [Source(f, Path(f.name)) for f in files if _is_picture(f)]
    if not sources:
        raise FileNotFoundError(f"{pattern}: matches no {'/'.join(READABLE)} file")
    return sources


def _is_picture(path: Path) -> bool:
    # A link that leads nowhere is kept, to be reported and not passed over.
    return path.suffix.lower() in READABLE and (path.is_file() or path.is_symlink())


def _check_suffix(target: Path, source: Path) -> None:
    try:
        format_of(target)
    except ValueError as error:
        text = f"{source}: cannot write {target.suffix or 'no ending'!r} files; choose one "
        raise ValueError(text + "with --format") from error


def _check_clashes(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for target in (t.resolve() for t in job.targets):
            if target in taken:
                raise ValueError(
                    f"{taken[target]} and {job.source} would both be written to {target}; "
                    "run them into different folders"
                )
            taken[target] = job.source
            if target in sources and target != job.source.resolve():
                raise ValueError(
                    f"the output of {job.source} would replace the input {target}; "
                    "choose another -o"
                )
