"""Targets and runners of other distributions, as importlib.metadata sees them installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .examples import read_examples

BROKEN = "import a_module_that_nobody_has\n"
COMMANDS = {"export": "edgedeblur.export.cli", "run": "edgedeblur.runtimes.cli"}


def absolute(path: str) -> str:
    """The page's example with the imports of a distribution of one's own."""
    room = path.partition("/")[0]
    code = re.sub(r"^from \.\.(\w)", r"from edgedeblur.\1", read_examples()[path], flags=re.M)
    return re.sub(r"^from \.(\w)", rf"from edgedeblur.{room}.\1", code, flags=re.M)


def install(site: Path, name: str, target: str | None = None, runner: str | None = None) -> None:
    """Lay a distribution out as pip does: a package, and its metadata with the entry points."""
    package, entries = site / name, ""
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for group, module, code in (("targets", "target", target), ("runners", "runner", runner)):
        if code is not None:
            (package / f"{module}.py").write_text(code)
            entries += f"[edgedeblur.{group}]\nprogram = {name}.{module}\n"
    info = site / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(entries)


def call(site: Path, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from {COMMANDS[command]} import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return {row["target"]: row for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def target() -> str:
    return absolute("export/to_program.py")


@pytest.fixture(scope="module")
def runner() -> str:
    return absolute("runtimes/run_program.py")


def test_plugin_is_listed_exports_and_runs(tmp_path, target, runner, photo):
    from PIL import Image

    site = tmp_path / "site"
    install(site, "example_deblur", target, runner)
    done = call(site, "export", "--list", "--json")
    row = listed(done)["program-fp32"]
    assert (row["file"], row["builds_here"], row["runs_here"]) == (".pt2", True, True)
    assert done.stderr == ""

    path = tmp_path / "net.pt2"
    wanted = ("--target", "program-fp32", "--backbone", "mobilenet_dsc", "--size", "64x64")
    done = call(site, "export", *wanted, "--output", path, "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["manifest"]
    assert (manifest["target"], manifest["bytes"]) == ("program-fp32", path.stat().st_size)
    worst = manifest["parity"]["worst_psnr_db"]
    assert worst is None or worst >= 80  # null: every pixel is equal

    Image.fromarray(photo[:64, :64]).save(tmp_path / "a.png")
    done = call(site, "run", path, tmp_path / "a.png", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").iterdir())) == 1
    done = call(tmp_path / "empty", "run", path, tmp_path / "a.png", "--output", tmp_path / "more")
    assert done.returncode == 1
    assert "no runner opens files ending in '.pt2'" in done.stderr


def test_help_imports_no_sdk_for_a_plugin(tmp_path, target):
    install(tmp_path, "example_deblur", target)
    code = (
        "import sys\nfrom edgedeblur.export.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'example_deblur.target' not in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0
    assert b"program-fp32" in done.stdout  # in one piece, whatever stands before it


def test_broken_plugin_is_one_line_and_the_rest_goes_on(tmp_path, target, runner):
    install(tmp_path, "broken_deblur", target + BROKEN)
    install(tmp_path, "example_deblur", target.replace("fp32", "fp16"), runner)
    done = call(tmp_path, "export", "--list", "--json")
    rows = listed(done)
    assert {"onnx-fp32", "program-fp16"} <= set(rows)
    assert "program-fp32" not in rows  # it had registered before it broke
    assert done.stderr == (
        "edgedeblur: warning: plug-in broken_deblur 1.5 is left out: broken_deblur.target cannot "
        "be imported (ModuleNotFoundError: No module named 'a_module_that_nobody_has'); update or "
        "uninstall it\n"
    )


def test_target_whose_runner_is_broken_is_listed_as_not_running(tmp_path, target, runner):
    install(tmp_path, "example_deblur", target, BROKEN + runner)
    row = listed(call(tmp_path, "export", "--list", "--json"))["program-fp32"]
    assert (row["runs_here"], row["cannot_run"]) == (False, "no runner opens .pt2 files")
    done = call(tmp_path, "export", "--list")
    assert "program-fp32: no runner opens .pt2 files; install one\n" in done.stdout


def test_one_module_for_both_groups_that_breaks_is_told_once(tmp_path, target, runner):
    both = f"{target}\n{runner.replace('from __future__ import annotations', '')}\n{BROKEN}"
    install(tmp_path, "broken_deblur", both)
    entries = tmp_path / "broken_deblur-1.5.dist-info" / "entry_points.txt"
    groups = ("targets", "runners")
    entries.write_text("".join(f"[edgedeblur.{g}]\na = broken_deblur.target\n" for g in groups))
    done = call(tmp_path, "export", "--list", "--json")
    assert "program-fp32" not in listed(done)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["--help", "--list"])
def test_duplicate_target_is_an_error_naming_both(tmp_path, target, command):
    install(tmp_path, "second_deblur", target.replace("program", "onnx"))
    done = call(tmp_path, "export", command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "deblur-export: error: plug-in second_deblur 1.5: target 'onnx-fp32' is registered twice: "
        "by edgedeblur.export.to_onnx.target and by second_deblur.target; rename one\n"
    )


def test_duplicate_suffix_of_a_runner_is_an_error_naming_both(tmp_path, runner, photo):
    from PIL import Image

    Image.fromarray(photo[:32, :32]).save(tmp_path / "a.png")
    install(tmp_path, "second_deblur", runner=runner.replace(".pt2", ".onnx"))
    (tmp_path / "net.onnx").write_bytes(b"")
    done = call(tmp_path, "run", tmp_path / "net.onnx", tmp_path / "a.png", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for words in (
        "deblur-run: error: plug-in second_deblur 1.5: runtime 'program' is registered twice",
        "edgedeblur.runtimes.run_ort as 'onnxruntime'",
        "second_deblur.runner",
    ):
        assert words in done.stderr


def test_readme_leaves_other_distributions_out(tmp_path, target):
    install(tmp_path, "example_deblur", target)
    code = (
        "from edgedeblur.export.registry import targets, targets_markdown\n"
        "print('program-fp32' in targets(), 'program-fp32' in targets_markdown(),"
        " '`onnx-fp32`' in targets_markdown())"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.decode().split() == ["True", "False", "True"]
