"""Forms of a report by name and by ending. A format is one file in ``formats/``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..result import BenchResult

STDOUT = "-"
FOLDER = "markdown"  # what --report writes, unless its ending is that of another format
_FORMATS = f"{__name__.rpartition('.')[0]}.formats"


@dataclass(frozen=True)
class Destination:
    """Where a report goes.

    Attributes:
        target: Path of the file or folder; ``-`` is standard output.
        pictures: Folder with one folder of PNGs per row, named by `pictures.slug`; None or
            missing if there are no pictures.
        force: Whether to replace what is there.
        full_quality: Whether a page stores its pictures without loss.
    """

    target: str
    pictures: Path | None = None
    force: bool = False
    full_quality: bool = False


@dataclass(frozen=True)
class ReportFormat:
    """One form of a report; ``FORMAT`` of a file in ``formats/``.

    Attributes:
        name: Its name for `get_format`.
        write: Writes the result, whole or not at all. Raises OSError if it cannot.
        suffix: ``.html``: ``deblur-bench --report FILE.html`` writes it. None for those that
            have an option of their own.
    """

    name: str
    write: Callable[[BenchResult, Destination], None]
    suffix: str | None = None


def formats() -> dict[str, ReportFormat]:
    """All formats by name; imports every module of ``formats/``.

    Raises:
        ValueError: two files have the same name or suffix; the message says which.
    """
    found: dict[str, ReportFormat] = {}
    owners: dict[str, str] = {}
    folders = importlib.import_module(_FORMATS).__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(folders)):
        entry: ReportFormat = importlib.import_module(f"{_FORMATS}.{module}").FORMAT
        for word in (entry.name, entry.suffix):
            if word is not None and owners.setdefault(word, module) != module:
                raise ValueError(
                    f"report format {word!r} is in formats/ twice: in {owners[word]}.py and in "
                    f"{module}.py; rename one"
                )
        found[entry.name] = entry
    return found


def get_format(name: str) -> ReportFormat:
    """The format of that name.

    Raises:
        ValueError: unknown; the message lists the known names.
    """
    known = formats()
    if name not in known:
        raise ValueError(f"unknown report format {name!r}. Known: {', '.join(known)}")
    return known[name]


def format_for(path: Path) -> ReportFormat:
    """The format that ``--report PATH`` writes: by the path's ending, else the Markdown folder."""
    known = formats()
    wanted = path.suffix.lower()
    fits = (entry for entry in known.values() if entry.suffix and entry.suffix == wanted)
    return next(fits, known[FOLDER])
