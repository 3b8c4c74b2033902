from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
# What the lock leaves out, and why.
UNLOCKED = {
    "onnxruntime-gpu": "takes onnxruntime's place; the two overwrite each other's files",
    "pycuda": "builds from source and needs the CUDA toolkit",
    "tritonclient": "holds protobuf below what the exporters have; the test has its own place",
    "tensorrt": "gigabytes, only of use with an NVIDIA GPU; TensorRT for RTX builds and is locked",
}
ROOMS = ("models", "runtimes", "quantize", "export", "benchmarks")


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_code_is_packaged():
    inits = [p.parent for room in ROOMS for p in (ROOT / room).rglob("__init__.py")]
    folders = {"edgedeblur." + ".".join(p.relative_to(ROOT).parts) for p in inits}
    assert set(_project()["tool"]["setuptools"]["packages"]) == folders
    code = {p.parent for room in ROOMS for p in (ROOT / room).rglob("*.py")}
    assert code == set(inits)


def test_commands_are_declared_and_lead_to_functions():
    scripts = {
        e.name: e
        for e in importlib.metadata.entry_points(group="console_scripts")
        if e.name.startswith("deblur-")
    }
    assert set(scripts) == set(_project()["project"]["scripts"])
    assert all(callable(entry.load()) for entry in scripts.values())


def test_lock_pins_versions_and_names_no_address():
    lines = [
        line.strip()
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert all(re.match(r"^[a-z0-9._-]+==[^ ]+( ;.*)?$", line) for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    project = _project()["project"]
    wanted = project["dependencies"] + [
        r for extra in project["optional-dependencies"].values() for r in extra
    ]
    names = {re.match(r"[A-Za-z0-9._-]+", r)[0].lower() for r in wanted} - {"edgedeblur"}
    assert names - pinned == set(UNLOCKED)


def _reached(extra: str) -> set[str]:
    """Distributions that an extra brings, by way of other extras too."""
    found: set[str] = set()
    for wanted in _project()["project"]["optional-dependencies"][extra]:
        name, inner = re.match(r"([A-Za-z0-9._-]+)(?:\[([^\]]+)\])?", wanted).groups()
        if name == "edgedeblur":
            found |= {got for each in inner.split(",") for got in _reached(each.strip())}
        else:
            found.add(name)
    return found


def test_the_base_brings_no_network_library():
    base = {re.match(r"[A-Za-z0-9._-]+", r)[0] for r in _project()["project"]["dependencies"]}
    assert base == {"numpy", "pillow", "rich", "shtab", "tifffile"}


def test_extras_that_run_bring_one_runtime_and_extras_that_export_bring_torch():
    runtimes = {
        "onnxruntime": {"onnxruntime"},
        "onnxruntime-gpu": {"onnxruntime-gpu"},
        "openvino": {"openvino"},
        "litert": {"ai-edge-litert"},
        "executorch": {"executorch", "torch"},
        "ncnn": {"ncnn"},
        "tensorrt-rtx": {"cuda-python", "tensorrt-rtx-cu13"},
        "tensorrt": {"cuda-python", "tensorrt"},
        "pycuda": {"pycuda"},
        "torch": {"safetensors", "torch"},
        "coreml": {"coremltools"},
        "video": {"av"},
        "ray": {"fsspec", "ray", "s3fs", "simpy"},
    }
    assert {extra: _reached(extra) for extra in runtimes} == runtimes
    for extra in ("bench", "export", "train", "all", "onnx", "trt", "tflite"):
        assert {"torch", "safetensors"} <= _reached(extra), extra
    # As before there were extras for running: what each old name brought beyond the base.
    onnx = {"onnx", "onnxruntime", "onnxscript", "onnxslim"}
    assert _reached("onnx") >= onnx
    assert _reached("trt") >= onnx | {"cuda-python", "tensorrt-rtx-cu13"}
    assert _reached("tflite") >= onnx | {"ai-edge-litert", "ai-edge-quantizer", "litert-torch"}
    parts = ("export", "ray", "serve", "train", "video")
    assert _reached("all") == {name for part in parts for name in _reached(part)}
    assert _reached("all").isdisjoint(UNLOCKED)


def test_every_extra_that_a_message_or_a_page_names_exists():
    known = set(_project()["project"]["optional-dependencies"])
    code = [p for room in ROOMS for p in (ROOT / room).rglob("*.py")]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        extra.strip()
        for path in [*code, *pages]
        for words in re.findall(r'extra="([a-z-]+)"|edgedeblur\[([a-z, -]+)\]', path.read_text())
        for extra in "".join(words).split(",")
    }
    assert {"onnxruntime", "export-onnx", "tensorrt-rtx"} <= named
    assert named <= known


def test_no_address_of_this_machine_or_a_registry_is_committed():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    # Spelled in pieces, so that this file does not find itself.
    words = ("/" + "root/", "python" + "hosted", "pypi" + r"\.org")
    bad = re.compile("|".join(words))
    suffixes = {".py", ".md", ".toml", ".lock", ".json", ".txt", ".sh", ".yml", ""}
    found = [
        name
        for name in listed.stdout.splitlines()
        if Path(name).suffix in suffixes
        and (ROOT / name).is_file()
        and bad.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []
