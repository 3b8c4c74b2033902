"""How the sources hang together: no circles, no long modules, no crowded folders, no shadows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.test_imports import ARROWS, HEAVY

ROOT = Path(__file__).parent.parent
PACKAGE = "edgedeblur"
MOST_LINES, MOST_FILES = 300, 16
WRAPPING = sorted(
    path.relative_to(ROOT).as_posix()
    for room, prefix in (("export", "to_*"), ("runtimes", "run_*"))
    for path in (ROOT / room).glob(prefix)
    if path.is_dir() or path.suffix == ".py"
)

Graph = dict[str, set[str]]


def module_graph(root: Path) -> Graph:
    """Module -> our modules that it imports anywhere, in functions and for types included."""
    files = {
        ".".join((PACKAGE, *path.relative_to(root).with_suffix("").parts)): path
        for room in ARROWS
        for path in (root / room).rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {name: _imported(name, path, modules) for name, path in modules.items()}


def _imported(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}".rstrip(".")
            for alias in node.names:  # a module of that name, or something that `base` holds
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return found & modules.keys() - {name}


def circle(graph: Graph) -> list[str]:
    """The modules along one circle, the first of them again at the end; empty if there is none."""
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            found = follow(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := follow(name, []))), [])


def source_files() -> list[str]:
    """Files that are tracked by git, or would be; in an unpacked archive, all that are there."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    roots = (*ARROWS, "tests", "docs")
    paths = (path for root in roots for path in (ROOT / root).rglob("*") if path.is_file())
    return [p.relative_to(ROOT).as_posix() for p in paths if "__pycache__" not in p.parts]


def long_modules(root: Path, names: list[str]) -> list[str]:
    counted = {
        name: len((root / name).read_text(encoding="utf-8").splitlines())
        for name in names
        if name.endswith(".py")
    }
    return [f"{name}: {lines} lines" for name, lines in counted.items() if lines > MOST_LINES]


def crowded_folders(names: list[str]) -> list[str]:
    counted = Counter(Path(name).parent.as_posix() for name in names)
    return [f"{folder}: {count} files" for folder, count in counted.items() if count > MOST_FILES]


def shadowed(folder: Path, then: str) -> subprocess.CompletedProcess[str]:
    """Look for the wrapped packages from within ``folder``; what is found in it goes to stderr."""
    code = (
        "import importlib.util, os, sys\n"
        f"for name in {sorted(HEAVY | {'torch', 'numpy', 'cv2'})}:\n"
        "    spec = importlib.util.find_spec(name)\n"
        "    if spec is None: continue\n"
        "    places = [*(spec.submodule_search_locations or [spec.origin])]\n"
        "    if os.getcwd() in [os.path.dirname(os.path.abspath(place)) for place in places]:\n"
        "        sys.exit(f'{name} is {places}')\n"
    )
    command = [sys.executable, "-c", code + then]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_no_module_imports_itself_by_way_of_others():
    graph = module_graph(ROOT)
    assert graph["edgedeblur.export.produce"] >= {
        "edgedeblur.export.graph",
        "edgedeblur.runtimes.registry",
        "edgedeblur.export.quality_gate",  # in a function
        "edgedeblur.models.checkpoints.checkpoint",  # under TYPE_CHECKING
    }
    assert circle(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "from ..runtimes import base",
        "from ..runtimes.base import Runner",
        "import edgedeblur.runtimes.base",
        "from edgedeblur.runtimes import base",
        "def f():\n    from ..runtimes.base import Runner",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..runtimes import base",
    ],
)
def test_a_circle_is_found(tmp_path, back):
    files = {
        "runtimes/__init__.py": "",
        "runtimes/base.py": "from .files import sha\nclass Runner: ...",
        "runtimes/files.py": "from ..export.inner import tool\nsha = 1",
        "export/__init__.py": "",
        "export/inner/__init__.py": "from . import tool",
        "export/inner/tool.py": "from ..back import x",
        "export/back.py": back,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    names = ("export.back", "runtimes.base", "runtimes.files", "export.inner.tool", "export.back")
    assert circle(module_graph(tmp_path)) == [f"edgedeblur.{name}" for name in names]
    (tmp_path / "export" / "back.py").write_text("x = 1")
    assert circle(module_graph(tmp_path)) == []


def test_modules_are_short():
    assert long_modules(ROOT, source_files()) == []


def test_a_long_module_is_found(tmp_path):
    (tmp_path / "tests").mkdir()
    for name, lines in (("short.py", 300), ("tests/test_long.py", 301), ("long.txt", 999)):
        (tmp_path / name).write_text("x = 1\n" * lines)
    names = ["short.py", "tests/test_long.py", "long.txt"]
    assert long_modules(tmp_path, names) == ["tests/test_long.py: 301 lines"]


def test_folders_hold_few_files():
    names = source_files()
    assert "tests/test_structure.py" in names
    assert crowded_folders(names) == []


def test_a_crowded_folder_is_found():
    inner = [f"room/inner/{number}.py" for number in range(17)]
    outer = [f"room/{number}.py" for number in range(16)]
    assert crowded_folders(inner + outer) == ["room/inner: 17 files"]


@pytest.mark.parametrize("name", WRAPPING)
def test_wrapped_packages_are_the_real_ones_inside_the_folders_that_wrap_them(name):
    path = ROOT / name
    part = name.removesuffix(".py").replace("/", ".")
    inner = {"export": ".target", "runtimes": ".runner"}[path.parent.name] if path.is_dir() else ""
    for folder in dict.fromkeys((path.parent, path if path.is_dir() else path.parent)):
        done = shadowed(folder, f"import {PACKAGE}.{part}{inner}")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("planted", ["onnx.py", "onnx/__init__.py", "cv2.py"])
def test_a_shadow_is_found(tmp_path, planted):
    path = tmp_path / planted
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    done = shadowed(tmp_path, "")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{planted.partition('/')[0].removesuffix('.py')} is [")


def test_a_folder_of_other_names_casts_no_shadow(tmp_path):
    (tmp_path / "to_onnx.py").write_text("")
    done = shadowed(tmp_path, "import onnx; print(onnx.helper.__name__)")
    assert (done.returncode, done.stdout) == (0, "onnx.helper\n"), done.stderr
