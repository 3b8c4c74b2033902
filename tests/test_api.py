"""What the rooms offer from Python: names that exist, cost nothing to import, and do as told."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes import Picture, write_picture

ROOT = Path(__file__).parent.parent
ROOMS = ("models", "export", "runtimes", "quantize", "benchmarks")
PAGE = (ROOT / "docs" / "API.md").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_leads_where_checkers_think_it_does(room):
    module = importlib.import_module(f"edgedeblur.{room}")
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    (guard,) = [n for n in tree.body if isinstance(n, ast.If) and isinstance(n.test, ast.Name)]
    typed = {alias.name: f".{node.module}" for node in guard.body for alias in node.names}
    assert set(module.__all__) == set(typed)
    assert set(dir(module)) >= set(module.__all__)
    for name, home in typed.items():
        there = importlib.import_module(home, f"edgedeblur.{room}")
        assert getattr(module, name) is getattr(there, name)
    with pytest.raises(AttributeError, match=f"edgedeblur.{room}' has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018 - looking it up is the test


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_hides_a_name(room):
    """``from edgedeblur.benchmarks import measure`` must not find a file ``measure.py``."""
    module = importlib.import_module(f"edgedeblur.{room}")
    files = {info.name for info in pkgutil.iter_modules(module.__path__)}
    assert files.isdisjoint(module.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_names_all_of_them(room):
    module = importlib.import_module(f"edgedeblur.{room}")
    (row,) = re.findall(rf"^\| `edgedeblur\.{room}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(module.__all__)


def test_importing_the_rooms_imports_nothing_else():
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        + "".join(f"import edgedeblur.{room}\n" for room in ROOMS)
        + "new = {n for n in set(sys.modules) - before if n.startswith('edgedeblur.')}\n"
        "print(*sorted(new), *({'numpy', 'torch', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(f"edgedeblur.{room}" for room in ROOMS)


def test_the_page_does_what_it_says(tmp_path, monkeypatch, photo, capsys):
    monkeypatch.chdir(tmp_path)
    write_picture(Picture(photo), "photo.png")
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "docs/API.md", "exec"), names)
    assert names["checkpoint"].backbone == "mobilenet_dsc"
    assert {path.name for path in tmp_path.iterdir()} == {
        "photo.png",
        "model.onnx",
        "model.onnx.json",
        "mobilenet_dsc_onnx-int8_64x96.onnx",
        "mobilenet_dsc_onnx-int8_64x96.onnx.json",
    }
    assert names["done"].manifest.parity.psnr_db > 80
    assert names["sharp"].shape == photo.shape
    assert not np.array_equal(names["sharp"], photo)
    rows = names["result"].rows
    assert [row.engine for row in rows] == ["torch-fp32 (reference)", "model.onnx"]
    # The same picture through PyTorch and onnxruntime: as good as each other, to a thousandth.
    assert rows[0].quality.psnr_db == pytest.approx(rows[1].quality.psnr_db, abs=1e-3)
    assert "model.onnx" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"target": "onnx-fp31"}, "unknown target 'onnx-fp31'; did you mean"),
        ({"size": (60, 96)}, "60x96: both sides must be multiples of 32"),
        ({"options": {"io": "tensor"}}, "onnx-fp32 has no option 'io'; known: web"),
        ({"target": "tflite-fp32", "options": {"io": "fp16"}}, "tflite-fp32 has no --io fp16"),
        ({"target": "tflite-fp32", "dynamic": True}, "tflite-fp32 has a fixed size"),
        ({"target": "trt-fp16", "options": {"max_batch": "none"}}, "max_batch: 'none' is not"),
        ({"output": "model.tflite"}, "onnx-fp32 writes .onnx files"),
    ],
)
def test_export_refuses_before_it_builds(named, message, tmp_path, monkeypatch):
    from edgedeblur.export import export

    monkeypatch.chdir(tmp_path)
    wanted = {"checkpoint": "mobilenet_dsc", "target": "onnx-fp32", "size": (64, 96), **named}
    with pytest.raises(ValueError, match=re.escape(message)):
        export(**wanted)
    assert list(tmp_path.iterdir()) == []
