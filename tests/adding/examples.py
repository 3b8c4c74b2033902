"""The examples of docs/ADDING.md: read from the page, and put beside the package."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ADDING.md"


def read_examples() -> dict[str, str]:
    """Path in the repository -> the code that the page has under it."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(
        re.findall(r"^`(\S+\.py)`:\n\n```python\n(.*?)```$", text, re.DOTALL | re.MULTILINE)
    )


@contextmanager
def added(folder: Path, files: dict[str, str]) -> Iterator[None]:
    """The files written under ``folder``, and their folders appended to the packages' search."""
    for name, code in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    from edgedeblur.export import registry as export_registry
    from edgedeblur.runtimes import registry as runtimes_registry

    export_registry.targets()
    runtimes_registry.runtimes()
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_registry, "_TARGETS", dict(export_registry._TARGETS))
        patch.setattr(runtimes_registry, "_RUNTIMES", dict(runtimes_registry._RUNTIMES))
        for part in sorted({Path(name).parent for name in files}):
            package = importlib.import_module("edgedeblur." + ".".join(part.parts))
            patch.setattr(package, "__path__", [*package.__path__, str(folder / part)])
        yield
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            package, _, last = name.rpartition(".")
            delattr(sys.modules[package], last)
            del sys.modules[name]
