"""How worker processes begin and end: nothing of the user's folder in them, none left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from edgedeblur.benchmarks.baselines.stock import build_in_subprocess
from edgedeblur.benchmarks.workers.jobs import Job, exit_on_signals, run_job

from ..support import conditions, sharpening, write_artifact, write_pairs

# The command with a worker that says where it is and waits, which the real one does too fast.
WAITING = """
import sys
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.workers import jobs
code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
jobs.worker_command = lambda answer: [sys.executable, "-c", code, sys.argv[1]]
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """The folder we are in holds files named as what a worker imports."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("numpy", "json", "runpy", "onnxruntime", "torch", "edgedeblur"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('ran the {name}.py of this folder')")
    monkeypatch.chdir(folder)


def test_a_worker_imports_nothing_from_the_folder_it_starts_in(tmp_path, hostile):
    pictures = write_pairs(tmp_path / "data", 1)
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    row = run_job(Job(str(path), "a", conditions(), pictures, latency=False, quality=True))
    assert row.error is None
    assert row.quality.pictures == 1


def test_nor_does_the_process_that_builds_the_stock_file(tmp_path, hostile):
    with pytest.raises(ValueError, match=r"building stock onnx: .*none\.pth: no such file"):
        build_in_subprocess(tmp_path / "none.pth", (32, 32), tmp_path / "stock.onnx")


def test_sigterm_takes_the_worker_and_the_temporary_folders_along(tmp_path):
    write_pairs(tmp_path / "data", 1)
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    temporary, pid_file = tmp_path / "temporary", tmp_path / "pid"
    temporary.mkdir()
    command = subprocess.Popen(
        [sys.executable, "-c", WAITING, pid_file, "--engine", path, "--data", tmp_path / "data",
         "--no-quality", "--report", tmp_path / "report"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        worker = int(waited_for(lambda: pid_file.exists() and pid_file.read_text(), command))
        folders = {folder.name.rpartition("-")[0] for folder in temporary.iterdir()}
        assert folders == {"edgedeblur-report", "edgedeblur-stock", "edgedeblur-bench"}
        command.send_signal(signal.SIGTERM)
        assert command.wait(timeout=30) == 128 + signal.SIGTERM
        assert list(temporary.iterdir()) == []
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
        assert not (tmp_path / "report").exists()
    finally:
        command.kill()
        command.communicate()


def waited_for(question, command):
    for _ in range(600):
        answer = question()
        if answer:
            return answer
        assert command.poll() is None, command.stderr.read()
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_block_and_is_as_before_afterwards(number, code):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as stop, exit_on_signals():
            os.kill(os.getpid(), number)
        assert stop.value.code == code
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with exit_on_signals():
            os.kill(os.getpid(), number)  # whoever ignores it goes on doing so
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
