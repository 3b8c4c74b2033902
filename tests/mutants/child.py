"""Tests on a mutated module, in a process forked from one that has imported PyTorch."""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import sys
import time
import warnings
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "mutants"
_FORK = multiprocessing.get_context("fork")


class Child:
    """A forked process that tests one text of a module, and may take ``limit_s`` seconds."""

    def __init__(self, module: str, source: str, tests: tuple[str, ...], limit_s: float) -> None:
        self.source, self.ends = source, time.monotonic() + limit_s
        self._receiver, sender = _FORK.Pipe(duplex=False)
        self.process = _FORK.Process(target=_test, args=(module, source, tests, sender))
        self.process.start()
        sender.close()

    def is_done(self) -> bool:
        """Whether it has ended, or has no time left."""
        return not self.process.is_alive() or time.monotonic() >= self.ends

    def result(self) -> tuple[int, str, bool]:
        """Wait, and return what `_Verdict.send` sent; -1 for a child that died or was too slow."""
        self.process.join(max(self.ends - time.monotonic(), 0.0))
        late = self.process.is_alive()
        if late:
            self.process.kill()
            self.process.join()
        try:
            return self._receiver.recv() if not late and self._receiver.poll() else (-1, "", False)
        except EOFError:
            return -1, "", False
        finally:
            self._receiver.close()


class _Mutated(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a text instead of from its file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        super().__init__(name, str(path))
        self._source = source

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The mutated module's spec; None for every other name."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType | None:
        """The text, compiled."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(self._source, self.path, "exec")


class _Verdict:
    """A pytest plugin that ends the process at the first failure: tearing down takes longer."""

    def __init__(self, pipe: Any, module: str) -> None:
        self._pipe, self._module = pipe, module

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.send(1, report.nodeid)

    pytest_collectreport = pytest_runtest_logreport

    def send(self, code: int, failed: str) -> None:
        """Send exit code, failed test and whether the mutated text was imported; then exit."""
        loader = getattr(sys.modules.get(self._module), "__loader__", None)
        self._pipe.send((code, failed, isinstance(loader, _Mutated)))
        os._exit(0)


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _test(module: str, source: str, tests: tuple[str, ...], pipe: Any) -> None:
    import pytest
    from hypothesis import settings

    os.nice(10)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # The same examples every time, and nothing written.
    settings.register_profile("mutants", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutants")
    name = "edgedeblur." + module.removesuffix(".py").replace("/", ".")
    sys.meta_path.insert(0, _Mutated(name, ROOT / module, source))
    verdict = _Verdict(pipe, name)
    options = ["-x", "-q", "-p", "no:cacheprovider", "--basetemp", f"{RESULTS}/tmp/{os.getpid()}"]
    verdict.send(int(pytest.main([*options, *tests], plugins=[verdict])), "")
