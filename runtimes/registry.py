"""Opens artifacts with the runner for their suffix.

Runners are found by name, ``run_<x>.py`` or ``run_<x>/runner.py``, and in other distributions by
entry points of the group ``edgedeblur.runners``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .base import Runner
from .discovery.by_name import import_matching
from .discovery.entry_points import RUNNERS, DuplicateNameError, import_entry_points
from .machine import usable_cores

if TYPE_CHECKING:
    from .artifact import Manifest

T = TypeVar("T", bound="type[Runner]")
# Waiting threads spin: far more threads than cores stall a machine.
THREADS_PER_CORE = 8


@dataclass(frozen=True)
class Runtime:
    """A runtime: the suffixes it opens, the module it imports, the extra that installs it."""

    name: str
    formats: tuple[str, ...]
    module: str
    extra: str
    runner: type[Runner]


_RUNTIMES: dict[str, Runtime] = {}


def runtime(name: str, *, formats: tuple[str, ...], module: str, extra: str) -> Callable[[T], T]:
    """Class decorator that registers a runner.

    Raises:
        DuplicateNameError: the name or a suffix is taken; the message names both modules.
    """

    def register(runner: T) -> T:
        for other in _RUNTIMES.values():
            clash = [suffix for suffix in formats if suffix in other.formats]
            if name == other.name or clash:
                raise DuplicateNameError(
                    f"runtime {name!r} is registered twice (suffixes {clash}): by "
                    f"{other.runner.__module__} as {other.name!r}, and by {runner.__module__}; "
                    "rename one, or give it another suffix"
                )
        _RUNTIMES[name] = Runtime(name, formats, module, extra, runner)
        return runner

    return register


def runtimes() -> dict[str, Runtime]:
    """All runtimes by name: this package's and those of other distributions.

    Raises:
        DuplicateNameError: see `runtime`.
    """
    import_matching(__name__.rpartition(".")[0], "run_", "runner")
    import_entry_points(RUNNERS, _RUNTIMES)
    return dict(sorted(_RUNTIMES.items()))


def runtime_for(path: Path) -> Runtime:
    """The runtime that opens this file.

    Raises:
        ValueError: no runner knows the suffix; the message lists those that are known.
    """
    known = runtimes()
    for entry in known.values():
        if path.suffix.lower() in entry.formats:
            return entry
    suffixes = ", ".join(sorted(s for r in known.values() for s in r.formats))
    raise ValueError(
        f"{path}: no runner opens files ending in {path.suffix!r}; known endings: {suffixes}"
    )


def open_runner(
    path: str | Path, *, threads: int = 0, device: str = "cpu", hint: str = "latency"
) -> Runner:
    """Open an artifact or checkpoint with the runner for its suffix.

    Args:
        path: The file; its manifest must lie beside it.
        threads: CPU threads; 0 for all cores that this process may use.
        device: ``cpu`` or ``cuda``; ``cpu`` means ``cuda`` for TensorRT engines.
        hint: ``latency``: one picture as soon as possible. ``throughput``: many pictures in as
            little time as possible, by `Runner.infer_many`; only OpenVINO and TensorRT have it.

    Raises:
        FileNotFoundError: the file or its manifest is missing.
        ValueError: unknown suffix, device or hint, or a manifest of another file.
        MissingDependencyError: the runtime is not installed.
    """
    path = Path(path)
    runner = _runner_for(path)
    if device == "cpu" and runner.devices == ("cuda",):
        device = "cuda"
    if device not in runner.devices:
        raise ValueError(f"{path.suffix} runs on {' or '.join(runner.devices)}, not {device!r}")
    if hint not in runner.hints:
        raise ValueError(
            f"{path.suffix} supports the hint {' or '.join(runner.hints)}, not {hint!r}"
        )
    most = THREADS_PER_CORE * usable_cores()
    if not 0 <= threads <= most:
        raise ValueError(f"threads must be 0 (all cores) to {most} on this machine, not {threads}")
    manifest = runner.read_manifest(path)
    return runner(path, manifest, threads=threads or usable_cores(), device=device, hint=hint)


def check_artifact(path: str | Path) -> Manifest:
    """The manifest of an artifact that `open_runner` would open, without loading it.

    Raises:
        FileNotFoundError, ValueError, MissingDependencyError: as `open_runner`.
    """
    path = Path(path)
    return _runner_for(path).read_manifest(path)


def _runner_for(path: Path) -> type[Runner]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; make one with deblur-export")
    return runtime_for(path).runner
