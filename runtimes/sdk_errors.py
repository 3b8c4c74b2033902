"""Errors of other people's libraries, put into this project's words.

SDKs raise classes of their own (onnxruntime's ``Fail``, ``cv2.error``) or bare RuntimeErrors.
What comes from a user's file or machine must become one line; a mistake of ours must not.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Generator

_MEMORY = ("memory", "alloc", "out of resources")


def translate_sdk_error(error: Exception, what: str) -> Exception | None:
    """MemoryError or ValueError that says what an SDK said; None if it is no SDK's error.

    Args:
        error: Whatever was raised.
        what: The file it happened with; the message starts with it.
    """
    if type(error).__module__ == "builtins" and type(error) is not RuntimeError:
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = f"{what}: {lines[0][:300] if lines else type(error).__name__}"
    if any(word in str(error).lower() for word in _MEMORY):
        return MemoryError(said)
    return ValueError(f"{said} ({type(error).__module__}.{type(error).__qualname__})")


@contextlib.contextmanager
def native_silence() -> Generator[None]:
    """Drop what compiled libraries write to standard error, which no setting of theirs turns off.

    Python's own standard error still gets through, so that a progress display goes on. Only for
    steps whose errors are raised, not printed.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep clean
        yield
        return
    sys.stderr.flush()
    ours = sys.stderr
    # Where standard error is the process's own; a test's object stays. Not closed by us: the thread
    # of a progress display may be writing to it when we are done.
    if ours is sys.__stderr__ or hasattr(ours, "rich_proxied_file"):
        sys.stderr = os.fdopen(os.dup(2), "w", errors="backslashreplace")
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stderr = ours
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def quiet_library() -> Generator[None]:
    """Drop a chatty library's prints, warnings and log lines; what it raises comes through."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), native_silence():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
