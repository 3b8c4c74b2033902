"""Removes the temporary files of runs that were killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from .files import PARTIAL_PREFIX, PREVIOUS_PREFIX

DAY_S = 24 * 3600.0
# `tempfile` appends eight of these characters.
_NAME = re.compile(re.escape(PARTIAL_PREFIX) + r"[a-z0-9_]{8}")


def remove_leftovers(folder: Path, min_age_s: float = DAY_S) -> list[Path]:
    """Remove what `replacing` and `replacing_all` left in ``folder`` when they were killed.

    Removed are regular files and folders with a temporary name that, with everything inside, did
    not change for ``min_age_s`` seconds: younger ones may belong to a run that is going on. Links,
    folders with a link inside, and folders that hold an older target (somebody must move it back)
    stay. What cannot be removed stays, too.

    Args:
        folder: Searched itself, not its sub-folders; it may be missing.
        min_age_s: Seconds since the last change, by the file system's times.

    Returns:
        What was removed.
    """
    latest_s = time.time() - min_age_s
    removed: list[Path] = []
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return []
    for path in sorted(folder / name for name in names):
        with contextlib.suppress(OSError):
            if _is_leftover(path, latest_s):
                _remove(path)
                removed.append(path)
    return removed


def _is_leftover(path: Path, latest_s: float) -> bool:
    for inside in _walk(path):
        status = inside.lstat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return False
        if status.st_mtime > latest_s or inside.name.startswith(PREVIOUS_PREFIX):
            return False
    return True


def _walk(path: Path) -> Iterator[Path]:
    """The path itself, then everything below it; follows no links."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            yield from _walk(child)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
