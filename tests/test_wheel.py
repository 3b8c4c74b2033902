"""The wheel in fresh environments without PyTorch: small, and the same pixels as here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes import read_picture

ROOT = Path(__file__).parent.parent
ROOMS = ("models", "runtimes", "quantize", "export", "benchmarks")
PHOTO = ROOT / "benchmarks" / "samples" / "blurry" / "cat.png"
pytestmark = pytest.mark.wheel
COMMANDS = (
    "deblur-export",
    "deblur-quantize",
    "deblur-compress",
    "deblur-debug",
    "deblur-run",
    "deblur-serve",
    "deblur-bench",
    "deblur-report",
    "deblur-train",
    "deblur-data",
)
# Extra -> target to run, and what the whole environment may take in bytes.
RUNTIMES = {"onnxruntime": ("onnx-fp32", 300e6), "litert": ("tflite-fp32", 250e6)}
WHEEL_BYTES = 25e6
IGNORED = shutil.ignore_patterns("__pycache__", "node_modules")


def done(*command: object, **named: object) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, without this environment's variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env=kept,
        **named,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves a folder behind, whose old files the next wheel gets."""
    folder, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=IGNORED)
    built = done(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = folder.glob("*.whl")
    return path


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment with the wheel and one runtime in it."""

    extra: str
    folder: Path

    def run(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        return done(self.folder / "bin" / command, *words, cwd=self.folder)

    def bytes_on_disk(self) -> int:
        """As ``du`` counts: whole blocks, folders too; with the compiled files that pip makes."""
        (packages,) = self.folder.glob("lib/python*/site-packages")
        return sum(path.lstat().st_blocks * 512 for path in (packages, *packages.rglob("*")))


@pytest.fixture(scope="module", params=RUNTIMES)
def environment(request, wheel, tmp_path_factory) -> Environment:
    """Versions as in the lock, so that the pixels can be compared with this environment's."""
    folder = tmp_path_factory.mktemp(request.param)
    uv = Path(sys.prefix) / "bin" / "uv"
    assert uv.is_file(), f"{uv} is missing; `make` puts it there"
    made = done(uv, "venv", "--python", sys.executable, folder)
    assert made.returncode == 0, made.stderr
    installed = done(
        uv, "pip", "install", "--python", folder / "bin" / "python", "--compile-bytecode",
        "--constraint", ROOT / "requirements.lock", f"{wheel}[{request.param}]",
    )  # fmt: skip
    assert installed.returncode == 0, f"is the package index reachable? {installed.stderr[-2000:]}"
    return Environment(request.param, folder)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> dict[str, Path]:
    """By extra: what this environment exports for its runtime."""
    folder = tmp_path_factory.mktemp("artifacts")
    targets = [word for target, _ in RUNTIMES.values() for word in ("--target", target)]
    made = done(
        Path(sys.prefix) / "bin" / "deblur-export", "--backbone", "mobilenet_dsc", *targets,
        "--size", "64x96", "--output", folder, "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    paths = {each["target"]: Path(each["artifact"]) for each in json.loads(made.stdout)}
    return {extra: paths[target] for extra, (target, _) in RUNTIMES.items()}


def test_wheel_holds_weights_samples_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "edgedeblur/models/zoo/mobilenet_dsc.safetensors",
        "edgedeblur/models/zoo/mobilenet_dsc.md",
        "edgedeblur/models/py.typed",
        "edgedeblur/benchmarks/samples/samples.json",
        "edgedeblur/benchmarks/samples/blurry/cat.png",
        "edgedeblur/export/cli.py",
        "edgedeblur/export/rewrites/rewrites.json",
        "edgedeblur/export/web/package-lock.json",
        "edgedeblur/export/web/site/index.html",
        "edgedeblur/export/web/site/_headers",
        "edgedeblur/export/web/site/worker/worker.js",
    ):
        assert wanted in names
    assert not [n for n in names if n.startswith(("tests/", "export/", "models/"))]
    assert wheel.stat().st_size < WHEEL_BYTES
    sys.stderr.write(f"the wheel: {wheel.stat().st_size / 1e6:.1f} MB\n")


def test_it_is_small_and_brings_no_training_library(environment):
    size = environment.bytes_on_disk()
    sys.stderr.write(f"[{environment.extra}]: {size / 1e6:.0f} MB\n")
    assert 50e6 < size < RUNTIMES[environment.extra][1]
    for module in ("torch", "cv2", "safetensors", "onnx", "openvino"):
        answer = environment.run("python", "-c", f"import {module}")
        assert f"No module named '{module}'" in answer.stderr


def test_an_exported_artifact_gives_the_same_pixels(environment, artifacts, tmp_path):
    artifact = artifacts[environment.extra]
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    answer = environment.run("deblur-run", artifact, PHOTO, "-o", there, "--threads", "2")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"{PHOTO} -> {there} 300x451" in answer.stdout
    full = Path(sys.prefix) / "bin" / "deblur-run"
    assert done(full, artifact, PHOTO, "-o", here, "--threads", "2").returncode == 0
    assert there.read_bytes() == here.read_bytes()
    moved = np.abs(read_picture(there).pixels.astype(int) - read_picture(PHOTO).pixels)
    assert moved.mean() > 0.1  # it did something


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_itself(environment, command):
    answer = environment.run(command, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"usage: {command}")
    answer = environment.run(command, "--version")
    assert answer.stdout.startswith(f"{command} 0.")
    answer = environment.run(command, "--print-completion", "bash")
    assert f"-F _shtab_{command.replace('-', '_')} {command}\n" in answer.stdout


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("deblur-export", "--backbone", "mobilenet_dsc", "--target", "onnx-fp32"), "export"),
        (("deblur-train", "--sharp", ".", "--val-sharp", "."), "train"),
        (("deblur-bench", "--engine", "none.onnx"), "bench"),
        (("deblur-quantize", "search", "--engine", "none.onnx"), "export"),
        (("deblur-quantize", "qat", "--sharp", "."), "export"),
    ],
)
def test_what_needs_more_names_the_extra(environment, words, extra):
    answer = environment.run(*words)
    assert answer.returncode == 1
    assert f"pip install 'edgedeblur[{extra}" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_list_names_both_extras(environment):
    answer = environment.run("deblur-export", "--list")
    assert answer.returncode == 0, answer.stderr
    assert "to export: pip install 'edgedeblur[export-tflite]'" in answer.stdout
    assert "only to run: pip install 'edgedeblur[litert]'" in answer.stdout


def test_an_artifact_of_another_runtime_names_its_extra(environment, artifacts, tmp_path):
    (other,) = set(RUNTIMES) - {environment.extra}
    answer = environment.run("deblur-run", artifacts[other], PHOTO, "-o", tmp_path / "out.png")
    assert answer.returncode == 1
    assert f"pip install 'edgedeblur[{other}]'" in answer.stderr
