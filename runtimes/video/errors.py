"""FFmpeg's errors as one line each that names the file and the fix."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

from ..optional import require


def load_av() -> ModuleType:
    """PyAV, which brings FFmpeg.

    Raises:
        MissingDependencyError: it is not installed; the message names the extra ``video``.
    """
    return require("av", extra="video")


@contextlib.contextmanager
def explained(path: Path, doing: str, fix: str) -> Generator[None]:
    """Turn an error of FFmpeg into ``path: doing (reason); fix``.

    Raises:
        OSError: of the system, such as a full disk; the message names ``path`` too.
        ValueError: any other error of FFmpeg.
    """
    av = load_av()
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        number = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
        if number == errno.ENOSPC:
            raise OSError(f"{path}: the disk is full; free space, then add --resume") from error
        if number == errno.ENOENT:
            raise FileNotFoundError(f"{path}: no such file") from error
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{path}: {doing} ({reason}); {fix}") from error
