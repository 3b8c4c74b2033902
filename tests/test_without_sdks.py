"""With only the base dependencies, every module imports and every command helps itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "deblur-export": "edgedeblur.export.cli",
    "deblur-run": "edgedeblur.runtimes.cli",
    "deblur-serve": "edgedeblur.runtimes.service.cli",
    "deblur-bench": "edgedeblur.benchmarks.cli",
    "deblur-debug": "edgedeblur.export.debug.cli",
    "deblur-report": "edgedeblur.benchmarks.report.html.cli",
    "deblur-train": "edgedeblur.models.training.cli",
    "deblur-data": "edgedeblur.models.command.cli",
    "deblur-quantize": "edgedeblur.quantize.cli",
}
# Distribution -> import name, where they differ.
IMPORT_NAMES = {"onnxruntime-gpu": "onnxruntime", "cuda-python": "cuda"}

# Hides modules as if they had never been installed: find_spec answers None, import raises.
HIDE = """
import importlib.abc, sys
hidden = set({hidden!r})
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""


def optional_modules() -> list[str]:
    """Import names of everything that only an extra brings, except PyTorch's and OpenCV's.

    Those are imported at the top by modules that are of no use without them.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [r for extra in project["optional-dependencies"].values() for r in extra]
    names = {re.match(r"[A-Za-z0-9._-]+", r)[0] for r in wanted} - {"edgedeblur", "build"}
    names -= {"torch", "safetensors", "opencv-python-headless", "tomli"}
    return sorted(IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names)


def run(code: str, hidden: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + code],
        capture_output=True,
        text=True,
        check=False,
    )


def modules() -> list[str]:
    rooms = ("models", "runtimes", "quantize", "export", "benchmarks")
    files = [p.relative_to(ROOT) for room in rooms for p in (ROOT / room).rglob("*.py")]
    dotted = ["edgedeblur." + ".".join(p.with_suffix("").parts) for p in files]
    return sorted(name.removesuffix(".__init__") for name in dotted)


def test_hiding_works():
    assert {"onnx", "onnxruntime", "onnxslim"} <= set(optional_modules())
    done = run("import onnxruntime", optional_modules())
    assert "No module named 'onnxruntime'" in done.stderr
    done = run("import onnxruntime", [])
    assert done.returncode == 0


def test_every_module_imports_without_the_optional_sdks():
    code = f"import importlib\nfor name in {modules()!r}: importlib.import_module(name)"
    done = run(code, optional_modules())
    assert done.returncode == 0, done.stderr
    assert len(modules()) > 30


def test_runtimes_import_without_torch():
    names = [name for name in modules() if name.startswith("edgedeblur.runtimes")]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    done = run(code, [*optional_modules(), "torch", "cv2"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_without_sdks_and_under_a_second(command):
    code = f"import sys\nfrom {COMMANDS[command]} import main\nsys.exit(main(['--help']))"
    times = []
    for _ in range(3):  # the fastest of three: other processes share this machine
        start = time.perf_counter()
        done = run(code, [*optional_modules(), "torch", "cv2", "PIL", "rich"])
        times.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {command}")
    assert min(times) < 1.0


def test_list_says_what_is_missing_and_how_to_get_it():
    code = (
        "import sys\nfrom edgedeblur.export.cli import main\nsys.exit(main(['--list', '--json']))"
    )
    done = run(code, optional_modules())
    rows = {row["target"]: row for row in json.loads(done.stdout)}
    assert not rows["onnx-fp32"]["builds_here"]
    assert not rows["onnx-fp32"]["runs_here"]
    assert set(rows["onnx-fp32"]["missing"]) == {"onnx", "onnxruntime", "onnxscript", "onnxslim"}


def test_exporting_without_the_sdk_names_the_extra(tmp_path):
    code = (
        "import sys\nfrom edgedeblur.export.cli import main\n"
        f"sys.exit(main(['--backbone', 'mobilenet_dsc', '--target', 'onnx-fp32', "
        f"'-o', {str(tmp_path)!r}]))"
    )
    done = run(code, optional_modules())
    assert done.returncode == 1
    assert "pip install 'edgedeblur[export-onnx]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
