"""Runners by file suffix, found by name: ``run_<x>.py`` or ``run_<x>/runner.py``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .base import Runner

T = TypeVar("T", bound="type[Runner]")


@dataclass(frozen=True)
class Runtime:
    """One way to run artifacts: the suffixes it opens, the module it needs, the extra for it."""

    name: str
    formats: tuple[str, ...]
    module: str
    extra: str
    runner: type[Runner]


_RUNTIMES: dict[str, Runtime] = {}


def runtime(name: str, *, formats: tuple[str, ...], module: str, extra: str) -> Callable[[T], T]:
    """Class decorator that registers a runner; a duplicate name or suffix raises ValueError."""

    def register(runner: T) -> T:
        taken = {suffix: r.name for r in _RUNTIMES.values() for suffix in r.formats}
        clash = [suffix for suffix in formats if suffix in taken]
        if name in _RUNTIMES or clash:
            raise ValueError(f"runtime {name!r} is registered twice (suffixes {clash})")
        _RUNTIMES[name] = Runtime(name, formats, module, extra, runner)
        return runner

    return register


def runtimes() -> dict[str, Runtime]:
    """All runtimes by name; imports every ``run_*.py`` and ``run_*/runner.py`` here once."""
    package = __name__.rpartition(".")[0]
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if info.name.startswith("run_"):
            module = f"{info.name}.runner" if info.ispkg else info.name
            importlib.import_module(f"{package}.{module}")
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
