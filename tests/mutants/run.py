"""Mutation testing: changes one place of a module at a time and counts what the tests notice.

Cosmic Ray makes the mutants. They run here, since its own runner starts a process for each, which
takes longer to import PyTorch than to test: a process that has imported it forks one child for
each mutant, and the child imports the mutated text instead of the file. No file is touched. A
result is used again while the module and the tests that decided it are what they were. Run it as
``make mutants``, or ``make mutants MODULE=runtimes/compare.py`` for one module.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import multiprocessing.connection
import os
import shutil
import sys
import time
from typing import Any

from tests.mutants.child import RESULTS, ROOT, Child, hash_of
from tests.mutants.mutate import difference, mutants_of, text_of
from tests.mutants.report import write_report
from tests.mutants.targets import TARGETS

_WARM = ("torch", "cv2", "pytest", "hypothesis", "onnx", "onnxruntime", "cosmic_ray.plugins")


class Module:
    """One module's mutants: what is known of them, and what must still be tried."""

    def __init__(self, module: str, *, believe: bool = False) -> None:
        self.module, self.tests = module, TARGETS[module]
        self.source = (ROOT / module).read_text(encoding="utf-8")
        self.file = RESULTS / (module.removesuffix(".py").replace("/", ".") + ".json")
        self.hashes = {name: hash_of(ROOT / name) for name in (module, *self.tests)}
        self.found = self._known(believe)

    def _known(self, believe: bool) -> dict[str, dict[str, Any]]:
        """Earlier results that still hold: the same module, and the test that decided the same."""
        if not self.file.exists():
            return {}
        held = json.loads(self.file.read_text(encoding="utf-8"))
        same = {name for name, value in held["hashes"].items() if self.hashes.get(name) == value}
        if self.module not in same:
            return {}
        whole = self.hashes.keys() == same
        return {
            name: result
            for name, result in held["mutants"].items()
            if whole or (result["outcome"] == "killed" and (believe or result["file"] in same))
        }

    def save(self) -> None:
        """Write what is known, in the order of lines."""
        ordered = dict(sorted(self.found.items(), key=lambda item: (item[1]["line"], item[0])))
        body = {"date": time.strftime("%Y-%m-%d"), "hashes": self.hashes, "mutants": ordered}
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(body, indent=1), encoding="utf-8")
        temporary.replace(self.file)

    def run(self, processes: int) -> None:
        """Try every mutant that nothing is known of.

        Raises:
            RuntimeError: the tests fail without a mutant, or never import the module.
        """
        began = time.monotonic()
        code, failed, imported = Child(self.module, self.source, self.tests, 600.0).result()
        if code != 0 or not imported:
            raise RuntimeError(f"{self.module}: unmutated, the tests end with {code} {failed}")
        limit_s = 15.0 + 5.0 * (time.monotonic() - began)
        names: set[str] = set()
        running: dict[str, Child] = {}
        for mutant in mutants_of(self.source):
            if mutant.name in self.found:
                names.add(mutant.name)
            elif (text := text_of(mutant)) is not None and text.split() != self.source.split():
                names.add(mutant.name)
                running[mutant.name] = Child(self.module, text, self.tests, limit_s)
                while len(running) >= processes:
                    self._gather(running)
        while running:
            self._gather(running)
        self.found = {name: result for name, result in self.found.items() if name in names}
        self.save()

    def _gather(self, running: dict[str, Child]) -> None:
        """Wait for a child, and note what those that are done have found."""
        multiprocessing.connection.wait([child.process.sentinel for child in running.values()], 1.0)
        for name, child in list(running.items()):
            if not child.is_done():
                continue
            code, failed, _ = running.pop(name).result()
            line, before, after = difference(self.source, child.source)
            self.found[name] = {
                "line": line, "before": before, "after": after,
                "outcome": "survived" if code == 0 else "killed",
                "by": failed or f"exit {code}",
                "file": failed.partition("::")[0] or self.module,
            }  # fmt: skip
            if code == 0:
                _say(f"  survived  {self.module}:{line}  {before}  =>  {after}")
            if len(self.found) % 50 == 0:
                self.save()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TARGETS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--survivors", action="store_true",
        help="while writing tests: believe what was noticed earlier, although tests have changed",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.modules) - set(TARGETS):
        parser.error(f"not in tests/mutants/targets.py: {', '.join(sorted(unknown))}")
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Run the named modules, or all; then write MUTANTS.md if all of them have results."""
    arguments = _parse(argv)
    os.chdir(ROOT)
    os.environ |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_XDIST_WORKER": "gw0",  # tests/conftest.py: one thread for each process
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    for name in _WARM:
        importlib.import_module(name)
    gc.freeze()  # so that no child's garbage collection walks over PyTorch
    for name in arguments.modules or TARGETS:
        (RESULTS / "tmp").mkdir(parents=True, exist_ok=True)
        module, began = Module(name, believe=arguments.survivors), time.monotonic()
        try:
            module.run(arguments.processes)
        except RuntimeError as error:
            _say(str(error))
        finally:
            shutil.rmtree(RESULTS / "tmp", ignore_errors=True)
        outcomes = [result["outcome"] for result in module.found.values()]
        _say(
            f"{name}: {outcomes.count('killed')} of {len(outcomes)} mutants noticed, "
            f"{time.monotonic() - began:.0f} s"
        )
    _say(write_report())


if __name__ == "__main__":
    main()
