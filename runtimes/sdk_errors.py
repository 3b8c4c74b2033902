"""Translates errors of SDKs, and suppresses their output.

SDKs raise classes of their own (onnxruntime's ``Fail``, ``cv2.error``) or bare RuntimeErrors.
An error caused by a user's file or machine becomes one line; a bug keeps its traceback.
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
    """MemoryError or ValueError with an SDK's message; None if the error is no SDK's.

    Args:
        error: The exception.
        what: The file; the message starts with it.
    """
    if type(error).__module__ == "builtins" and type(error) is not RuntimeError:
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = f"{what}: {lines[0][:300] if lines else type(error).__name__}"
    if any(term in str(error).lower() for term in _MEMORY):
        return MemoryError(message)
    return ValueError(f"{message} ({type(error).__module__}.{type(error).__qualname__})")


@contextlib.contextmanager
def suppress_native_stderr() -> Generator[None]:
    """Discard what compiled libraries write to standard error and have no setting for.

    Python's own standard error still works, so that a progress bar continues. Use it only for steps
    whose errors are raised, not printed.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep clean
        yield
        return
    sys.stderr.flush()
    ours = sys.stderr
    # Only if standard error is the process's own; a test's object stays. It is not closed here: the
    # thread of a progress bar may still write to it.
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
def suppress_output() -> Generator[None]:
    """Discard a library's prints, warnings and log lines; its exceptions pass."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            suppress_native_stderr(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
