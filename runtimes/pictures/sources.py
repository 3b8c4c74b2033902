"""Which pictures a run reads: files, folders and patterns, expanded. Opens no picture."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import PARTIAL_PREFIX
from .read import READABLE


@dataclass(frozen=True)
class Source:
    """One input: the file, and its name relative to the folder that was given."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Failure:
    """One input that could not be processed, and why, on one line."""

    source: Path
    reason: str

    def __str__(self) -> str:
        """``file: reason``; most reasons name their file already."""
        named = str(self.source) in self.reason
        return self.reason if named else f"{self.source}: {self.reason}"


def find_sources(
    patterns: Sequence[str],
    *,
    recursive: bool,
    output: str,
    endings: Sequence[str] = READABLE,
) -> tuple[list[Source], list[Failure]]:
    """Expand files, folders and glob patterns; sorted within each, none twice.

    Of folders and patterns only files with an ending in ``endings`` are taken; a file that is given
    by name is taken with any ending. Left out are an output folder inside an input folder, since it
    holds the results of an earlier run, and temporary folders. A link and its target are two
    pictures.

    Returns:
        What was found; and what was not: missing files, and folders and patterns without pictures.
    """
    found: dict[str, Source] = {}
    missing: list[Failure] = []
    for pattern in patterns:
        try:
            within = Path(output).resolve()
            sources = _expand(pattern, recursive=recursive, output=within, endings=endings)
        except FileNotFoundError as error:
            missing.append(Failure(Path(pattern), str(error)))
            continue
        for source in sources:
            found.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100 - keeps links
    return list(found.values()), missing


def _expand(pattern: str, *, recursive: bool, output: Path, endings: Sequence[str]) -> list[Source]:
    path = Path(pattern)
    if path.is_dir():
        return _pictures_in(path, recursive=recursive, output=output, endings=endings)
    if path.exists():
        return [Source(path, Path(path.name))]
    if not glob.has_magic(pattern):
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    files = sorted(Path(name) for name in glob.glob(pattern, recursive=recursive))  # noqa: PTH207
    sources = [Source(f, Path(f.name)) for f in files if _is_picture(f, endings)]
    if not sources:
        raise FileNotFoundError(f"{pattern}: matches no {'/'.join(endings)} file")
    return sources


def _pictures_in(
    folder: Path, *, recursive: bool, output: Path, endings: Sequence[str]
) -> list[Source]:
    files = sorted(folder.rglob("*") if recursive else folder.iterdir())
    resolved = folder.resolve()
    if resolved in output.parents:
        # Compared by name, not resolved file by file: that would cost a second per 10,000 files.
        earlier_results = folder / output.relative_to(resolved)
        files = [file for file in files if earlier_results not in file.parents]
    files = [file for file in files if not file.parent.name.startswith(PARTIAL_PREFIX)]
    sources = [
        Source(file, file.relative_to(folder)) for file in files if _is_picture(file, endings)
    ]
    if not sources:
        hint = "" if recursive else " (sub-folders are read with --recursive)"
        raise FileNotFoundError(f"{folder}: no {'/'.join(endings)} in this folder{hint}")
    return sources


def _is_picture(path: Path, endings: Sequence[str]) -> bool:
    # A broken link is kept, so that it is reported and not silently ignored.
    return path.suffix.lower() in endings and (path.is_file() or path.is_symlink())
