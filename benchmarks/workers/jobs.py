"""One worker process per artifact: what it is told, and how its end is read.

A process each, because runtimes bring clashing OpenMP and protobuf libraries, because peak memory
belongs to a process, and so that one that crashes does not take the others' numbers along.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ...runtimes.console import one_line
from ..result import Conditions, Row, read_row
from ..serialise import to_plain

PROGRESS = "@progress "  # starts the lines on a worker's standard output that are ours
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PictureFiles:
    """The files of one pair."""

    name: str
    blurry: str
    sharps: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What one worker process is to measure.

    Attributes:
        engine: Path of the artifact or checkpoint.
        label: What it is called in results.
        conditions: Size, protocol, device, threads, runs.
        pictures: The pairs; the first one's content is used for latency.
        latency: Whether to measure time and memory.
        quality: Whether to score the pictures.
        footprint: Whether to count bytes, parameters and operations.
        opener: How ``engine`` is opened if not by its suffix: a name of `openers.OPENERS`.
        baseline: ``reference`` or ``stock`` if others are compared with this; see `result.Row`.
        reference_norm: Norm mode of the PyTorch reference; None if this is no reference.
        reference_size: The fixed (height, width) of the artifacts it is for, or None.
        reference_folder: Where its outputs are written (reference) or read (artifact).
        reference_label: What the reference is called in results.
        shown_folder: Where pictures for the report go; None for none.
    """

    engine: str
    label: str
    conditions: Conditions
    pictures: tuple[PictureFiles, ...]
    latency: bool
    quality: bool
    footprint: bool = True
    opener: str | None = None
    baseline: str | None = None
    reference_norm: str | None = None
    reference_size: tuple[int, int] | None = None
    reference_folder: str | None = None
    reference_label: str = ""
    shown_folder: str | None = None


def run_job(job: Job, progress: Progress | None = None) -> Row:
    """Measure in a fresh process.

    Returns:
        The worker's row. If the worker died, a row that holds only ``error``, with the signal or
        the last line it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="edgedeblur-bench-") as folder:
        answer = Path(folder) / "row.json"
        complaints = Path(folder) / "stderr.txt"
        with complaints.open("wb") as stderr:
            process = subprocess.Popen(
                worker_command(answer),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            try:
                _talk(process, json.dumps(to_plain(job)), progress)
            finally:
                # Reached with a live worker only when we are interrupted: take it along.
                if process.poll() is None:
                    process.kill()
                code = process.wait()
        said = complaints.read_text(encoding="utf-8", errors="replace")
        if os.environ.get("EDGEDEBLUR_DEBUG"):
            sys.stderr.write(said)
        if code == 0 and answer.exists():
            return read_row(answer)
    return Row(
        engine=job.label,
        is_reference=job.reference_norm is not None,
        baseline=job.baseline,
        error=f"{job.label}: {death(code, said)}",
    )


def worker_command(answer: Path) -> list[str]:
    """The command line of a worker that writes its row to ``answer``."""
    return module_command(f"{__package__}.worker", str(answer))


# As `python -m MODULE`, which would put the folder that the user is in on the search path, first of
# all: a file numpy.py there must not run in numpy's place. (Python has -P for this from 3.11 on.)
# Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_AS_MODULE = (
    "import sys; sys.path[:] = [folder for folder in sys.path if folder]; "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module, given by its full name; imports nothing from the cwd."""
    return [sys.executable, "-c", _AS_MODULE, module, *arguments]


@contextlib.contextmanager
def ending_on_signals() -> Generator[None]:
    """While the block runs, SIGTERM and SIGHUP unwind the stack as Ctrl-C does.

    SystemExit with 128 + the signal's number. Otherwise they end this process where it stands, and
    its worker and temporary folders stay. Does nothing in other threads than the main one; a signal
    that is handled or ignored already (``nohup``) is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [s for s in _ENDING if signal.getsignal(s) is signal.SIG_DFL]

    def end(number: int, _frame: object) -> NoReturn:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the tidying
        raise SystemExit(128 + number)

    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _talk(process: subprocess.Popen[str], job: str, progress: Progress | None) -> None:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None  # both are pipes
    assert stdout is not None
    try:
        stdin.write(job)
        stdin.close()
    except BrokenPipeError:
        return  # it died at birth; its exit code says more than we could
    with stdout:
        for line in stdout:
            if line.startswith(PROGRESS) and progress is not None:
                done, total = line[len(PROGRESS) :].split()
                progress(int(done), int(total))
    process.wait()


def death(code: int, said: str) -> str:
    """Why a process of ours ended, in one line, from its exit code and standard error."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ""
        if name == "SIGKILL":
            hint = "; often the system's out-of-memory killer: try a smaller --size"
        return f"the measuring process was killed by {name}{hint}"
    lines = [line for line in said.strip().splitlines() if line.strip()]
    last = one_line(ValueError(lines[-1])) if lines else "no message"
    return (
        f"the measuring process failed with exit code {code} ({last}); "
        "EDGEDEBLUR_DEBUG=1 shows all it wrote"
    )
