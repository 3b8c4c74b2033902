"""Compression runs with a clock that counts work instead of time: budgets, resuming, refusals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from edgedeblur.export.compress import training
from edgedeblur.export.compress.bench import ExportBench
from edgedeblur.export.compress.cli import main
from edgedeblur.export.compress.run import compress
from edgedeblur.export.compress.settings import Budget, Compression
from edgedeblur.export.compress.steps import Steps
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from edgedeblur.models.compress.work import Work
from edgedeblur.models.network.widths import Widths
from edgedeblur.models.training.validate import pair_examples
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.pictures.sample_inputs import SAMPLES

from tests.models.network.test_widths import randomised

TINY = Widths(
    streams=(16, 8, 16, 16, 16, 24, 32),
    hidden=(32, 32, 32, 32, 32, 48, 48, 48, 48, 48, 48, 48, 48, 64),
    pyramid=(32, 32, 32, 32),
    heads=((16, 16),) * 4,
    smooth=16,
    smooth2=16,
)
SIZE = (64, 64)


class CountingBench:
    """Builds nothing; a network takes 1 ms and one for each million multiply-accumulates."""

    def __init__(self):
        self.work = Work("mobilenet_dsc", TINY, SIZE)
        self.built = []
        self.records = {}

    def build(self, generator, checkpoint, artifact, log):
        assert load_checkpoint(str(checkpoint)).widths == generator.widths
        self.built.append(artifact.name)
        self.records[artifact] = generator.widths

    def ms(self, widths):
        return 1.0 + self.work.macs(widths)

    def times_ms(self, artifacts):
        return [self.ms(self.records[path]) for path in artifacts]


def one_small_picture(_wanted):
    return {"samples": pair_examples(SAMPLES.parent, 1, 64)}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(training, "validation_sets", one_small_picture)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    save_checkpoint(randomised("mobilenet_dsc", TINY), path, norm="frozen")
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(noise, (160, 160)))
    return folder


def wanted(whole, output, **changes):
    values = {
        "checkpoint": str(whole),
        "target": "onnx-fp32",
        "size": SIZE,
        "budget": Budget(ratio=0.8),
        "output": output,
        "name": "tiny_fast",
        "networks": 6,
        "steps": 0,
        "max_loss_db": 99.0,
        **changes,
    }
    return Compression(**values)


def test_budget_is_kept_by_the_measured_time(whole, tmp_path):
    bench = CountingBench()
    outcome = compress(Steps(wanted(whole, tmp_path), bench, lambda _: None))
    body = outcome.body
    checkpoint = load_checkpoint(str(outcome.checkpoint))
    assert checkpoint.network == "tiny_fast"
    assert bench.ms(checkpoint.widths) <= 0.8 * bench.ms(TINY)
    assert body["unpruned_cost"] == pytest.approx(bench.ms(TINY))
    assert body["latency_model"]["mean_relative_error"] < 0.02  # the clock is in the model's form
    for candidate in body["candidates"]:
        assert candidate["fits"] == (candidate["cost"] <= body["budget"])
    by_name = {each["name"]: each["cost"] for each in body["candidates"]}
    assert by_name["wider"] > body["budget"] >= max(by_name["search"], by_name["even"])
    assert set(body["gains_db"]) == {"samples"}
    assert body["lost_db"]["samples"] == pytest.approx(
        body["unpruned_gains_db"]["samples"] - body["gains_db"]["samples"]
    )


def test_a_run_goes_on_without_measuring_again(whole, tmp_path):
    first = CountingBench()
    before = compress(Steps(wanted(whole, tmp_path), first, lambda _: None)).body
    second = CountingBench()
    after = compress(Steps(wanted(whole, tmp_path), second, lambda _: None)).body
    assert second.built == []
    assert after == before
    with pytest.raises(ValueError, match="belongs to another experiment"):
        Steps(wanted(whole, tmp_path, min_share=0.5), second, lambda _: None)


def test_macs_need_no_times(whole, tmp_path):
    class NoBench:
        def build(self, *_):
            raise AssertionError

        times_ms = build

    work = Work("mobilenet_dsc", TINY, SIZE)
    budget = Budget(macs=0.7e6 * work.macs(TINY))
    outcome = compress(Steps(wanted(whole, tmp_path, budget=budget), NoBench(), lambda _: None))
    assert work.macs(load_checkpoint(str(outcome.checkpoint)).widths) * 1e6 <= budget.macs
    assert outcome.body["latency_model"] == {}


def test_a_budget_below_the_narrowest_network_says_what_can_be_reached(whole, tmp_path):
    bench = CountingBench()
    run = Steps(wanted(whole, tmp_path, budget=Budget(ms=1.01)), bench, lambda _: None)
    words = "budget of 1.0 ms is below .* ms can be reached"
    with pytest.raises(ValueError, match=words) as found:
        compress(run)
    assert f"to {bench.ms(TINY):.1f} ms" in str(found.value)
    budget = Budget(macs=1000.0)
    with pytest.raises(ValueError, match="--budget-macs 1000 is below what the narrowest"):
        compress(Steps(wanted(whole, tmp_path / "b", budget=budget), bench, lambda _: None))


def test_training_teaches_the_narrow_network(whole, photos, tmp_path, monkeypatch):
    monkeypatch.undo()
    asked = wanted(whole, tmp_path, steps=4, trial_steps=2, importance_batches=1,
                   sharp=(str(photos),), val_sharp=photos, quiet=True,
                   overrides=("data.crop=32", "data.batch=2"))  # fmt: skip
    outcome = compress(Steps(asked, CountingBench(), lambda _: None))
    assert set(outcome.body["gains_db"]) == {"samples", "val-sharp"}
    (start_path,) = (tmp_path / "training").glob("*.safetensors")
    start = load_checkpoint(str(start_path))
    trained = load_checkpoint(str(outcome.checkpoint))
    assert trained.widths == start.widths
    floats = [name for name, t in trained.state.items() if t.is_floating_point()]
    moved = [name for name in floats if (trained.state[name] != start.state[name]).any()]
    assert len(moved) > len(floats) / 2
    assert trained.metadata["teacher"] == str(whole)


def test_a_run_that_starts_anew_takes_nothing_of_the_earlier_one(whole, photos, tmp_path):
    values = {"trial_steps": 1, "importance_batches": 1, "sharp": (str(photos),), "quiet": True,
              "overrides": ("data.crop=32", "data.batch=2")}  # fmt: skip
    first = wanted(whole, tmp_path, steps=2, **values)
    compress(Steps(first, CountingBench(), lambda _: None))
    other = wanted(whole, tmp_path, steps=3, budget=Budget(ratio=0.65), **values)
    bench = CountingBench()
    outcome = compress(Steps(other, bench, lambda _: None, force=True))
    assert bench.ms(load_checkpoint(str(outcome.checkpoint)).widths) <= 0.65 * bench.ms(TINY)
    assert len(list((tmp_path / "training").glob("*.safetensors"))) == 1


def test_more_training_is_another_training(whole, photos, tmp_path):
    values = {"trial_steps": 1, "importance_batches": 1, "sharp": (str(photos),), "quiet": True,
              "overrides": ("data.crop=32", "data.batch=2")}  # fmt: skip
    states = []
    for steps in (2, 4):
        asked = wanted(whole, tmp_path, steps=steps, **values)
        outcome = compress(Steps(asked, CountingBench(), lambda _: None))
        states.append(load_checkpoint(str(outcome.checkpoint)))
    assert states[0].widths == states[1].widths
    assert states[1].metadata["steps"] == "4"
    name = "smooth2.0.pointwise.weight"
    assert not torch.equal(states[0].state[name], states[1].state[name])


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.export.compress.test_run import *

class Dying(CountingBench):
    def build(self, generator, checkpoint, artifact, log):
        super().build(generator, checkpoint, artifact, log)
        if len(self.built) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

training.validation_sets = one_small_picture
compress(Steps(wanted(Path(sys.argv[1]), Path(sys.argv[2])), Dying(), lambda _: None))
"""


@pytest.mark.parametrize("after", [3, 11])  # amid the samples, and after their times are known
def test_a_killed_run_ends_as_if_it_never_was(whole, tmp_path, after):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    folder = tmp_path / "run"
    command = [sys.executable, str(script), str(whole), str(folder), str(after)]
    root = str(Path(__file__).parents[3])
    died = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert died.returncode == -signal.SIGKILL
    bench = CountingBench()
    found = compress(Steps(wanted(whole, folder), bench, lambda _: None))
    unbroken = compress(Steps(wanted(whole, tmp_path / "whole"), CountingBench(), lambda _: None))
    assert found.body["widths"] == unbroken.body["widths"]
    assert found.body["gains_db"] == unbroken.body["gains_db"]


def test_real_artifacts_are_built_once_and_timed(whole, tmp_path):
    checkpoint = load_checkpoint(str(whole))
    bench = ExportBench("onnx-fp32", SIZE, threads=1, rounds=2)
    artifact = tmp_path / "a.onnx"
    logged = []
    bench.build(randomised("mobilenet_dsc", TINY), whole, artifact, logged.append)
    assert read_manifest(artifact).checkpoint.sha256 == checkpoint.sha256
    assert read_manifest(artifact).widths == TINY.to_dict()
    changed = artifact.stat().st_mtime_ns
    bench.build(randomised("mobilenet_dsc", TINY), whole, artifact, logged.append)
    assert artifact.stat().st_mtime_ns == changed
    times = bench.times_ms([artifact, artifact])
    assert len(times) == 2
    assert min(times) > 0


def test_command_writes_card_plot_and_json(whole, tmp_path, capsys):
    macs = 0.7e6 * Work("mobilenet_dsc", TINY, SIZE).macs(TINY)
    command = ["--checkpoint", str(whole), "--size", "64x64", "--budget-macs", f"{macs}",
               "--steps", "0", "--name", "tiny_fast", "-o", str(tmp_path / "run")]  # fmt: skip
    assert main([*command, "--max-loss", "99", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["candidates"][0]["cost"] <= macs
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"tiny_fast.safetensors", "tiny_fast.md", "pareto.png", "compress.json"} <= written
    assert cv2.imread(str(tmp_path / "run" / "pareto.png")).std() > 10
    card = (tmp_path / "run" / "tiny_fast.md").read_text()
    assert f"| search | {body['candidates'][0]['cost'] / 1e9:.2f} G |" in card
    assert main([*command, "--max-loss", "-99"]) == 1
    assert "less than the unpruned network, more than --max-loss -99" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget-ms", "3", "--budget-ratio", "0.5"], "give one of --budget-ms"),
        (["--budget-ms", "-3"], "must be above 0"),
        (["--budget-ratio", "1.5"], "must be below 1"),
        (["--budget-ms", "3", "--steps", "9"], "nothing to train on"),
        (["--budget-ms", "3", "--steps", "0", "--target", "onnx-fp23"], "onnx-fp32"),
        (["--budget-ms", "3", "--steps", "0", "--name", "Fast"], "lower-case"),
        (["--budget-ms", "3", "--steps", "0", "--networks", "2"], "5 or more"),
    ],
)
def test_usage_errors(whole, tmp_path, capsys, options, words):
    with pytest.raises(SystemExit) as caught:
        main(["--checkpoint", str(whole), "-o", str(tmp_path), *options])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_target_that_is_only_emulated_cannot_be_timed(whole, tmp_path):
    asked = wanted(whole, tmp_path, target="coreml-fp16")
    with pytest.raises(ValueError, match="coreml-fp16 cannot be timed on this machine"):
        Steps(asked, CountingBench(), lambda _: None)


def test_a_folder_that_is_a_file_is_refused_before_any_work(whole, tmp_path, capsys):
    (tmp_path / "run").write_text("mine")
    command = ["--checkpoint", str(whole), "--budget-macs", "1e6", "--steps", "0"]
    assert main([*command, "-o", str(tmp_path / "run")]) == 1
    assert "run" in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "mine"
