"""Starts one worker process per artifact, sends it its job and reads its row.

One process each, because runtimes load conflicting OpenMP and protobuf libraries, because peak
memory is per process, and because a crash must not lose the other rows.
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

from ...runtimes.command_line.console import one_line
from ..result import Conditions, Row, read_row
from ..serialise import to_json_types

PROGRESS = "@progress "  # prefix of the progress lines on a worker's standard output
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PictureFiles:
    """Paths of one pair: the blurry picture and its sharp ones."""

    name: str
    blurry: str
    sharps: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What one worker process measures.

    Attributes:
        engine: Path of the artifact or checkpoint.
        label: Its name in results.
        conditions: Size, protocol, device, threads, runs.
        pictures: The pairs; the first one's content is used for latency.
        latency: Whether to measure time and memory.
        quality: Whether to score the pictures.
        footprint: Whether to count bytes, parameters and operations.
        baseline_runtime: What opens ``engine``, by its name in `runners.BASELINE_RUNTIMES`; None:
            the runner for its suffix.
        baseline: ``reference`` or ``stock`` if others are compared with this; see `result.Row`.
        reference_norm: Norm mode if this is a PyTorch reference, else None.
        reference_size: The fixed (height, width) of the artifacts it is for, or None.
        reference_folder: Where its outputs are written (reference) or read (artifact).
        reference_label: The reference's name in results.
        pictures_folder: Where the report's pictures go; None without a report.
    """

    engine: str
    label: str
    conditions: Conditions
    pictures: tuple[PictureFiles, ...]
    latency: bool
    quality: bool
    footprint: bool = True
    baseline_runtime: str | None = None
    baseline: str | None = None
    reference_norm: str | None = None
    reference_size: tuple[int, int] | None = None
    reference_folder: str | None = None
    reference_label: str = ""
    pictures_folder: str | None = None


def run_job(job: Job, progress: Progress | None = None) -> Row:
    """Measure one job in a fresh process.

    Returns:
        The worker's row. If the worker died, a row that holds only ``error``, with the signal or
        the last line it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="edgedeblur-bench-") as folder:
        row_path = Path(folder) / "row.json"
        stderr_path = Path(folder) / "stderr.txt"
        with stderr_path.open("wb") as stderr:
            process = subprocess.Popen(
                worker_command(row_path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            try:
                _exchange(process, json.dumps(to_json_types(job)), progress)
            finally:
                # The worker is still alive only if this process was interrupted.
                if process.poll() is None:
                    process.kill()
                code = process.wait()
        stderr_text = stderr_path.read_text(encoding="utf-8", errors="replace")
        if os.environ.get("EDGEDEBLUR_DEBUG"):
            sys.stderr.write(stderr_text)
        if code == 0 and row_path.exists():
            return read_row(row_path)
    return Row(
        engine=job.label,
        is_reference=job.reference_norm is not None,
        baseline=job.baseline,
        error=f"{job.label}: {exit_reason(code, stderr_text)}",
    )


def worker_command(row_path: Path) -> list[str]:
    """The command line of a worker that writes its row to ``row_path``."""
    return module_command(f"{__package__}.worker", str(row_path))


# Like `python -m MODULE`, which however puts the current folder first on the search path: a file
# numpy.py there must not run in numpy's place. (Python has -P for this from 3.11 on.)
# Windows has no SIGHUP.
_EXIT_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_AS_MODULE = (
    "import sys; sys.path[:] = [folder for folder in sys.path if folder]; "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module, given by its full name; imports nothing from the cwd."""
    return [sys.executable, "-c", _AS_MODULE, module, *arguments]


@contextlib.contextmanager
def exit_on_signals() -> Generator[None]:
    """While the block runs, SIGTERM and SIGHUP unwind the stack as Ctrl-C does.

    SystemExit with 128 + the signal's number. Otherwise they end this process where it stands, and
    its worker and temporary folders stay. Does nothing in other threads than the main one; a signal
    that is handled or ignored already (``nohup``) is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    default = [s for s in _EXIT_SIGNALS if signal.getsignal(s) is signal.SIG_DFL]

    def unwind(number: int, _frame: object) -> NoReturn:
        for each in default:
            signal.signal(each, signal.SIG_IGN)  # a second one must not disturb the clean-up
        raise SystemExit(128 + number)

    for each in default:
        signal.signal(each, unwind)
    try:
        yield
    finally:
        for each in default:
            signal.signal(each, signal.SIG_DFL)


def _exchange(process: subprocess.Popen[str], job: str, progress: Progress | None) -> None:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None  # both are pipes
    assert stdout is not None
    try:
        stdin.write(job)
        stdin.close()
    except BrokenPipeError:
        return  # it ended before it read; its exit code says why
    with stdout:
        for line in stdout:
            if line.startswith(PROGRESS) and progress is not None:
                done, total = line[len(PROGRESS) :].split()
                progress(int(done), int(total))
    process.wait()


def exit_reason(code: int, stderr_text: str) -> str:
    """Why a worker process failed, in one line, from its exit code and standard error."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ""
        if name == "SIGKILL":
            hint = "; often the system's out-of-memory killer: try a smaller --size"
        return f"the measuring process was killed by {name}{hint}"
    lines = [line for line in stderr_text.strip().splitlines() if line.strip()]
    last = one_line(ValueError(lines[-1])) if lines else "no message"
    return (
        f"the measuring process failed with exit code {code} ({last}); "
        "set EDGEDEBLUR_DEBUG=1 to see its whole output"
    )
