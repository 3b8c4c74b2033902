"""The rooms may import each other only along the arrows of the plan."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARROWS = {
    "models": set(),
    "runtimes": set(),
    "quantize": {"models", "runtimes"},
    "export": {"models", "runtimes", "quantize"},
    "benchmarks": {"models", "runtimes"},
}
EXCEPTIONS = {
    # A checkpoint is PyTorch's artifact, and only the generator's code can open one.
    ("runtimes/run_torch.py", "models"),
    # `deblur-data` and training are commands: they share the error lines, the reader of clips, the
    # atomic writes and, above all, the one definition of PSNR and SSIM. The
    # runtimes never import them, so no circle can close.
    ("models/data/clip_pairs.py", "runtimes"),
    ("models/command/cli.py", "runtimes"),
    ("models/command/restore.py", "runtimes"),
    ("models/command/video.py", "runtimes"),
    ("models/training/reports/board.py", "runtimes"),
    ("models/training/reports/scores.py", "runtimes"),
    ("models/training/cli.py", "runtimes"),
    ("models/training/session.py", "runtimes"),
    ("models/training/setup.py", "runtimes"),
    ("models/training/state.py", "runtimes"),
    ("models/training/validate.py", "runtimes"),
}
# Modules that may be imported when a room's modules are, everything else inside functions.
HEAVY = {
    "onnx",
    "onnxruntime",
    "onnxscript",
    "onnxslim",
    "openvino",
    "nncf",
    "tensorrt",
    "tensorrt_rtx",
    "coremltools",
    "litert_torch",
    "ai_edge_litert",
    "executorch",
    "torchao",
    "ncnn",
    "pnnx",
    "rich",
    "tensorboard",
    "PIL",
    "av",
    "tifffile",
    "ray",
    "fsspec",
    "pyarrow",
    "simpy",
    "starlette",
    "uvicorn",
    "prometheus_client",
}


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """(room or module imported, whether at module level and at run time)."""
    tree = ast.parse(path.read_text())
    at_top = {id(n) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))}
    depth = len(path.relative_to(ROOT).parts) - 1
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        top = id(node) in at_top
        if isinstance(node, ast.Import):
            found += [(_room(alias.name), top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > depth:  # climbs out of the room
                assert node.level == depth + 1, f"{path}: imports from outside the package"
                names = [node.module] if node.module else [a.name for a in node.names]
                found += [(str(name).partition(".")[0], top) for name in names]
            elif node.level == 0:
                found.append((_room(node.module or ""), top))
    return found


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "edgedeblur" and len(parts) > 1 else parts[0]


def python_files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def wrong_arrows(path: Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    room = name.partition("/")[0]
    return [
        f"{name} imports {other}"
        for other, _ in imports_of(path)
        if other in ARROWS
        and other != room
        and other not in ARROWS[room]
        and (name, other) not in EXCEPTIONS
    ]


@pytest.mark.parametrize("room", ARROWS)
def test_rooms_import_along_the_arrows(room):
    assert [line for path in python_files(room) for line in wrong_arrows(path)] == []


def test_a_wrong_arrow_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    for text in (
        "from ..export.cli import main",
        "def f():\n    from ..export import cli",
        "import edgedeblur.export.cli",
        "from edgedeblur.export import cli",
        "from .. import export",
    ):
        path = tmp_path / "runtimes" / "bad.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert wrong_arrows(path) == ["runtimes/bad.py imports export"], text
    path.write_text("from .base import Runner\nfrom . import tiling")
    assert wrong_arrows(path) == []


def test_every_exception_is_needed():
    used = {
        (name, other)
        for name, other in EXCEPTIONS
        if other in [module for module, _ in imports_of(ROOT / name)]
    }
    assert used == EXCEPTIONS


def test_sdks_are_imported_inside_functions():
    found = [
        f"{path.relative_to(ROOT)}: {module}"
        for room in ARROWS
        for path in python_files(room)
        for module, top in imports_of(path)
        if top and module in HEAVY
    ]
    assert found == []


# Quantisation-aware training is training: the same options, the same trainer.
TRAINS = {
    "quantize/cli.py",
    "quantize/qat/session.py",
    "export/compress/cli.py",
    "export/compress/steps.py",
    "export/compress/training.py",
}


def test_nothing_imports_training():
    inside = ROOT / "models" / "training"
    others = [p for room in ARROWS for p in python_files(room) if inside not in p.parents]
    assert [
        p.relative_to(ROOT).as_posix()
        for p in others
        if p.relative_to(ROOT).as_posix() not in TRAINS
        and re.search(r"^\s*(from|import) \S*\btraining\b", p.read_text(), re.MULTILINE)
    ] == []


def test_runtimes_never_import_torch_at_module_level():
    found = [path.name for path in python_files("runtimes") if ("torch", True) in imports_of(path)]
    assert found == []


def names_of_wrapped(root: Path, rooms: Iterable[str]) -> list[str]:
    """Modules and folders that are called like a package that the rooms' modules import."""
    files = [path for room in rooms for path in (root / room).rglob("*.py")]
    wrapped = HEAVY | {"torch", "numpy", "cv2"}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wrapped |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                wrapped.add(node.module.partition(".")[0])
    ours = {path.relative_to(root) for path in files}
    ours |= {folder for path in ours for folder in path.parents}
    return sorted(path.as_posix() for path in ours if path.stem in wrapped)


def test_no_module_or_folder_is_named_after_what_it_wraps():
    assert names_of_wrapped(ROOT, ARROWS) == []


def test_a_name_of_a_wrapped_package_is_found(tmp_path):
    for name in ("export/onnx/target.py", "export/to_onnx/json.py", "export/to_onnx/target.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def f():\n    from json import dumps\n")
    assert names_of_wrapped(tmp_path, ["export"]) == ["export/onnx", "export/to_onnx/json.py"]
