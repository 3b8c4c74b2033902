"""Signals to a run with loader processes, as `timeout`, systemd and a terminal send them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from edgedeblur.models.training import signals, state
from edgedeblur.models.training.crops.worker_signals import WorkerSignals, held_back

STEPS = 2000  # far more than are made before the signal
RUN = (
    *(sys.executable, "-m", "edgedeblur.models.training.cli"),
    *("--preset", "paper", "--device", "cpu", "--threads", "1"),
    *("--set", "loss.pixel_kind=l1", "--set", "loss.perceptual=0", "--set", "loss.adversarial=0"),
    *("--set", "optim.flat_epochs=0", "--set", "optim.decay_epochs=1", "--set", "data.crop=64"),
    *("--set", f"data.epoch_steps={STEPS}", "--set", f"run.save_steps={STEPS}"),
    *("--set", "run.tensorboard=false", "--set", "data.workers=2"),
)


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(folder):
    """The run has made its first step, so its loaders deliver."""
    log = folder / state.LOG_NAME
    return log.exists() and log.stat().st_size > 0


@pytest.fixture
def start(sharp_folder, tmp_path):
    """Starts the run in a process group of its own; at the end nothing of it is left."""
    started = []

    def begin(*before):
        command = [*before, *RUN, "--sharp", str(sharp_folder), "-o", str(tmp_path / "run")]
        started.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        )
        return started[0], tmp_path / "run"

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stderr.close()


def check_saved(told, folder):
    saved_at = torch.load(folder / state.STATE_NAME, weights_only=True)["step"]
    assert 0 < saved_at < STEPS
    assert f"stopped at step {saved_at}; everything is saved, go on with --resume" in told
    for sign in ("Traceback", "DataLoader", "KeyboardInterrupt"):
        assert sign not in told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.heavy)]
)
def test_a_signal_to_the_whole_group_saves(number, start):
    process, folder = start()
    wait_until(lambda: running(folder) or process.poll() is not None)
    workers = children(process.pid)
    assert len(workers) == 2
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=400)
    assert process.returncode == 128 + number
    check_saved(told, folder)
    assert not any(alive(worker) for worker in workers)


@pytest.mark.heavy
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loaders_end_when_the_run_is_killed(start):
    process, folder = start()
    wait_until(lambda: running(folder) or process.poll() is not None)
    workers = children(process.pid)
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGTERM)  # ignored by the loaders
    process.kill()
    process.wait()
    wait_until(lambda: not any(alive(worker) for worker in workers), seconds=120)


class Asked:
    def __init__(self):
        self.stops = 0

    def request_stop(self):
        self.stops += 1


def test_a_signal_sent_twice_at_once_is_one_request_and_a_later_one_ends(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    trainer, ends = Asked(), []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: ends.append(number))
    try:
        with signals.stopping_on_signals(trainer) as received:
            signal.raise_signal(signal.SIGTERM)
            now[0] += 0.9
            signal.raise_signal(signal.SIGTERM)
            assert (len(received), ends) == (2, [])
            now[0] += 0.2
            signal.raise_signal(signal.SIGTERM)
            assert ends == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def _loader(ready, to_start):
    ready.set()  # with signals held back, as the child of `held_back` inherits it
    time.sleep(0.2)
    to_start(0)
    while True:
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts a process as Linux does")
def test_a_loader_obeys_sigterm_only_once_its_parent_ends():
    context = multiprocessing.get_context("fork")
    worker_signals, ready = WorkerSignals(), context.Event()
    process = context.Process(target=_loader, args=(ready, worker_signals), daemon=True)
    with held_back():
        process.start()
    try:
        assert ready.wait(30)
        for number in (signal.SIGTERM, signal.SIGINT):  # before it handles them
            os.kill(process.pid, number)
        process.join(0.5)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(process.pid, number)
        process.join(0.5)
        assert process.exitcode is None
        worker_signals._ending.value = True
        process.terminate()
        process.join(30)
        assert process.exitcode == 0
    finally:
        process.kill()
