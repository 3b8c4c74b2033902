"""The command `deblur-train --decay-from`."""

from __future__ import annotations

import json
import shutil

import pytest
from edgedeblur.models.training import state
from edgedeblur.models.training.cli import main

from .test_branch import assert_equal_states, contents


def command(sharp_folder, output, *more):
    return main(["--sharp", str(sharp_folder), "-o", str(output), "--device", "cpu", *more])


@pytest.fixture
def begun(sharp_folder, tmp_path):
    """A flat run of three steps, by the command."""
    small = (
        *("loss.pixel_kind=l1", "loss.perceptual=0", "loss.adversarial=0", "data.crop=64"),
        *("data.batch=2", "data.workers=0", "data.epoch_steps=2", "run.tensorboard=false"),
        *("optim.flat_epochs=50", "optim.decay_epochs=0", "optim.ema=0.9"),
    )
    settings = [part for override in small for part in ("--set", override)]
    assert command(sharp_folder, tmp_path / "flat", *settings, "--stop-after", "3") == 0
    return settings


@pytest.fixture
def drawn(monkeypatch):
    """The steps of the curves that are drawn."""
    steps = []
    draw = lambda log, path: (steps.extend(line["step"] for line in log), path.touch())  # noqa: E731
    monkeypatch.setattr("edgedeblur.models.training.session.write_curves", draw)
    return steps


def test_the_command_decays_resumes_and_leaves_the_run(
    begun, sharp_folder, tmp_path, capsys, drawn
):
    before = contents(tmp_path / "flat")
    source = ("--decay-from", str(tmp_path / "flat"))
    steps = ("--decay-steps", "4")
    assert command(sharp_folder, tmp_path / "a", *source, *steps) == 0
    assert "from step 3 of" in capsys.readouterr().err
    assert drawn == [3, 7]  # with the flat part
    assert command(sharp_folder, tmp_path / "b", *source, *steps, "--stop-after", "5") == 0
    assert contents(tmp_path / "flat") == before
    shutil.rmtree(tmp_path / "flat")  # a decay that was begun needs it no longer
    assert command(sharp_folder, tmp_path / "b", *source, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 7
    first, second = (state.load_state(tmp_path / name) for name in ("a", "b"))
    assert_equal_states(first["averaged"], second["averaged"])
    assert_equal_states(first["generator"], second["generator"])


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("flat", (), "stays as it is; give the decay another --output"),
        ("d", ("--preset", "qat"), "--preset: a decay takes its settings from"),
        ("d", ("--init", "zoo:mobilenet"), "--init: a decay takes its settings from"),
        ("d", ("--resume", "--decay-steps", "3"), "leave its settings out"),
        ("d", ("--evaluate",), "leave --decay-from out"),
        ("d", ("--decay-steps", "0"), "--decay-steps is 0; it is at least 1"),
        ("d", ("--set", "data.seed=9"), "data.seed is 0 in the run"),
    ],
)
def test_mistakes_are_one_line(begun, sharp_folder, tmp_path, capsys, output, more, message):
    source = ("--decay-from", str(tmp_path / "flat"))
    assert command(sharp_folder, tmp_path / output, *source, *more) == 1
    error = capsys.readouterr().err.replace("\n", " ")
    assert message in error
    assert "Traceback" not in error


def test_steps_of_a_decay_belong_to_a_run(sharp_folder, tmp_path, capsys):
    assert command(sharp_folder, tmp_path / "d", "--decay-steps", "3") == 1
    assert "--decay-steps belongs to --decay-from RUN" in capsys.readouterr().err
