from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
ROOMS = ("models", "runtimes", "quantize", "export", "benchmarks")


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_code_is_packaged():
    inits = [p.parent for room in ROOMS for p in (ROOT / room).rglob("__init__.py")]
    folders = {"edgedeblur." + ".".join(p.relative_to(ROOT).parts) for p in inits}
    assert set(_project()["tool"]["setuptools"]["packages"]) == folders
    code = {p.parent for room in ROOMS for p in (ROOT / room).rglob("*.py")}
    assert code == set(inits)


def test_wheel_holds_weights_samples_and_types(tmp_path):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    for wanted in (
        "edgedeblur/models/zoo/mobilenet_dsc.safetensors",
        "edgedeblur/models/zoo/mobilenet_dsc.md",
        "edgedeblur/models/py.typed",
        "edgedeblur/benchmarks/samples/samples.json",
        "edgedeblur/benchmarks/samples/blurry/cat.png",
        "edgedeblur/export/cli.py",
        "edgedeblur/export/rewrites/rewrites.json",
    ):
        assert wanted in names
    assert not [n for n in names if n.startswith(("tests/", "export/", "models/"))]


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
    assert names <= pinned


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
