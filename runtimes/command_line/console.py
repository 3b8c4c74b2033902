"""Shared by all commands: error lines, exit codes, progress bars, JSON on standard output."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from ..optional import MissingDependencyError, missing_dependency

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, USAGE = 0, 1, 2
MAX_SIDE = 8192  # pixels; a larger --size is a typing error and would fill any memory
# Errors whose text is meant for the user. Any other is a bug and keeps its traceback.
USER_ERRORS = (ValueError, OSError, MissingDependencyError, MemoryError)


def run_command(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int],
    argv: list[str] | None,
    *,
    extra: str | None = None,
) -> int:
    """Parse, run, and turn a user error into one line on standard error and exit code 1.

    ``extra`` brings what the command needs beyond the base install, as messages say.
    argparse itself exits with 2 on wrong usage. ``EDGEDEBLUR_DEBUG=1`` shows the traceback.
    """
    _make_streams_safe()
    try:
        return _parse_and_work(parser, work, argv, extra)
    except KeyboardInterrupt:
        sys.stderr.write(f"{parser.prog}: interrupted\n")
        return 130
    except BrokenPipeError:
        discard_stdout()
        return FAILED
    except USER_ERRORS as error:
        if os.environ.get("EDGEDEBLUR_DEBUG"):
            raise
        hint = "" if not isinstance(error, MemoryError) else _memory_hint(parser)
        sys.stderr.write(f"{parser.prog}: error: {one_line(error)}{hint}\n")
        return FAILED


def _parse_and_work(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int],
    argv: list[str] | None,
    extra: str | None,
) -> int:
    try:
        return work(parser.parse_args(argv))
    except ModuleNotFoundError as error:
        raise missing_dependency(error, extra) from error


def _make_streams_safe() -> None:
    """Make printing safe if standard output or error is closed or has a small encoding.

    A closed one (``>&-``) is opened to the null device, before another file gets its descriptor and
    is printed into; a character that the encoding lacks is written as an escape.
    """
    while True:
        number = os.open(os.devnull, os.O_RDWR)
        if number > 2:
            os.close(number)
            break
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """Redirect standard output to the null device after its reader (``head``, ``less``) exits.

    Otherwise the interpreter reports the broken pipe again when it flushes at exit.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _memory_hint(parser: argparse.ArgumentParser) -> str:
    """Options of this command that lower its memory."""
    actions = parser._actions  # pyright: ignore[reportPrivateUsage] - there is no public list
    has = {option for action in actions for option in action.option_strings}
    helps = {
        "--tile": "a smaller --tile",
        "--size": "a smaller --size",
        "--threads": "fewer --threads",
    }
    known = [text for option, text in helps.items() if option in has]
    return f"; try {' or '.join(known)}" if known else ""


def one_line(error: BaseException) -> str:
    """An error's text on a single line; never empty."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory ({text or 'no detail'})"
    return text or type(error).__name__


def console(*, stderr: bool = False) -> Console:
    """A Rich console; tables go to standard output, progress and remarks to standard error."""
    from rich.console import Console as RichConsole

    # Rich wraps at 80 columns when it cannot see a terminal, which breaks tables in log files.
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 160
    return RichConsole(stderr=stderr, width=width, highlight=False, soft_wrap=False)


@contextlib.contextmanager
def progress_bar(
    description: str, *, enabled: bool = True, rate: str = ""
) -> Generator[Callable[[float, float], None]]:
    """A progress bar on standard error; yields ``update(done, total)``.

    ``rate`` is the unit of what is done in a second, which is then shown too. Silent if
    standard error is not a terminal, so that logs stay readable.
    """
    if not enabled or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    # Rich would send what is printed meanwhile to standard error, away from a pipe or a file.
    redirect = sys.stdout.isatty()
    shown = console(stderr=True)
    with Progress(*columns, console=shown, transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task(description, total=None, rate="")
        begin = time.perf_counter()
        first: list[float] = []  # what was done when the clock began to run

        def update(done: float, total: float) -> None:
            first[:] = first or [done]
            passed_s = time.perf_counter() - begin
            shown_rate = f"{(done - first[0]) / passed_s:.1f} {rate}" if rate and passed_s else ""
            bar.update(task, completed=done, total=total, rate=shown_rate)

        yield update


def print_json(body: object) -> None:
    """One JSON document on standard output; NaN and infinities are refused."""
    sys.stdout.write(json.dumps(body, indent=2, allow_nan=False) + "\n")
