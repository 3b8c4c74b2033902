"""The command as a user types it."""

from __future__ import annotations

import json

import cv2
import pytest
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training.cli import main
from edgedeblur.models.training.crops.sources import strided
from edgedeblur.models.training.state import LAST_NAME, STATE_NAME

SMALL = [
    part
    for override in (
        "loss.pixel_kind=l1",
        "loss.perceptual=0",
        "loss.adversarial=0",
        "optim.flat_epochs=0",
        "optim.decay_epochs=1",
        "data.epoch_steps=2",
        "data.crop=64",
        "data.batch=2",
        "data.workers=0",
        "run.tensorboard=false",
        "run.validate_crop=64",
    )
    for part in ("--set", override)
] + ["--device", "cpu"]


@pytest.fixture
def train(sharp_folder, tmp_path, capsys):
    def call(*more):
        code = main(["--sharp", str(sharp_folder), "-o", str(tmp_path / "run"), *SMALL, *more])
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def test_a_run_reports_its_speed_and_its_gain(train, sharp_folder, tmp_path):
    code, out, err = train("--val-sharp", str(sharp_folder))
    assert code == 0
    assert "sharp pictures in" in err
    assert "waiting for data" in err
    assert "mean" in out
    assert load_checkpoint(str(tmp_path / "run" / LAST_NAME)).backbone == "mobilenet_dsc"


def test_json_holds_every_picture(train, sharp_folder):
    code, out, _ = train("--val-sharp", str(sharp_folder), "--json")
    body = json.loads(out)
    assert code == 0
    assert body["steps"] == 2
    assert len(body["pictures"]) == 4
    mean = sum(p["psnr_after"] for p in body["pictures"]) / 4
    assert body["mean"]["psnr_after"] == pytest.approx(mean)


def test_a_folder_that_holds_a_run_is_not_overwritten(train, tmp_path):
    assert train()[0] == 0
    before = (tmp_path / "run" / STATE_NAME).read_bytes()
    code, _, err = train()
    assert code == 1
    assert "holds a run; go on with --resume, start anew with --force" in err
    assert (tmp_path / "run" / STATE_NAME).read_bytes() == before
    assert train("--resume")[0] == 0
    assert train("--force")[0] == 0


def test_stopping_on_purpose_and_going_on(train):
    assert json.loads(train("--stop-after", "1", "--json")[1])["steps"] == 1
    assert json.loads(train("--resume", "--json")[1])["steps"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "optim.lrr=1"], "did you mean lr?"),
        (["--preset", "papr"], "did you mean paper?"),
        (["--backbone", "mobilenet_dcs"], "did you mean mobilenet_dsc?"),
        (["--set", "loss.perceptual=0.1"], "no VGG19 weights here"),
        (["--set", "loss.distill=1"], "needs a --teacher"),
        (["--freeze-norms"], "give it with --init"),
        (["--init", "nowhere.pth"], "nowhere.pth: no such file"),
        (["--evaluate"], "give it with --init"),
        (["--sharp", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(train, more, message):
    code, _, err = train(*more)
    assert code == 1
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


def test_nothing_to_train_on(tmp_path, capsys):
    assert main(["-o", str(tmp_path / "run"), *SMALL]) == 1
    assert "nothing to train on; give --sharp DIR" in capsys.readouterr().err


def test_strides_are_written_behind_an_at_sign():
    assert [str(strided("a/b@2")[0]), strided("a/b@2")[1]] == ["a/b", 2]
    assert strided("me@home/x")[1] == 1
    with pytest.raises(ValueError, match="at least 1"):
        strided("a@0")


def test_pairs_that_do_not_match_are_named(tmp_path, capsys, sharp_folder):
    for side in ("blur", "sharp"):
        (tmp_path / "data" / side).mkdir(parents=True)
    picture = cv2.imread(str(sharp_folder / "0.png"))
    cv2.imwrite(str(tmp_path / "data" / "blur" / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "data" / "sharp" / "b.png"), picture)
    code = main(["--pairs", str(tmp_path / "data"), "-o", str(tmp_path / "run"), *SMALL])
    assert code == 1
    assert "do not match by name" in capsys.readouterr().err


def test_freezing_a_live_checkpoint_reports_what_it_cost(train, sharp_folder, tmp_path):
    """Before and after, in the modes it is about; the result is a frozen checkpoint."""
    import torch

    torch.manual_seed(5)
    generator = build_generator("mobilenet_dsc", decoder_norm="instance")
    live = tmp_path / "live.safetensors"
    save_checkpoint(generator.eval(), live, norm="live")
    code, out, _ = train(
        "--init", str(live), "--freeze-norms", "--val-sharp", str(sharp_folder), "--json"
    )
    body = json.loads(out)
    assert code == 0
    assert set(body) >= {"live", "frozen, before training", "mean"}
    assert body["live"]["psnr"] != body["frozen, before training"]["psnr"]
    frozen = load_checkpoint(str(tmp_path / "run" / LAST_NAME))
    assert frozen.norm == "frozen"
    # Statistics were re-estimated once and then kept while the weights were trained.
    counter = frozen.state[
        "td1.1.num_batches_tracked"
        if "td1.1.num_batches_tracked" in frozen.state
        else "fpn.td1.1.num_batches_tracked"
    ]
    assert int(counter) == 64
    assert generator_from(frozen).decoder_norm == "instance"


def test_fine_tuning_the_released_layout(train, released_h5, tmp_path):
    """Live norms, DataParallel's names, aliases and layers that inference never touches."""
    code, _, err = train(
        "--init", str(released_h5), "--backbone", "mobilenet", "--freeze-norms", "--stop-after", "1"
    )
    assert code == 0, err
    tuned = load_checkpoint(str(tmp_path / "run" / LAST_NAME))
    assert (tuned.backbone, tuned.decoder_norm, tuned.norm) == ("mobilenet", "instance", "frozen")
    before = load_checkpoint(str(released_h5)).state
    assert not tuned.dead_features
    assert set(tuned.state) == {n for n in before if n in tuned.state}
    moved = [n for n, t in tuned.state.items() if n.endswith("weight") and (t != before[n]).any()]
    assert "final.weight" in moved
    resting = [n for n in tuned.state if n.startswith("fpn.features.") and n in moved]
    assert resting == []  # the paper's first epochs leave the backbone alone


def test_evaluating_a_checkpoint(sharp_folder, capsys):
    arguments = ["--evaluate", "--init", "zoo:mobilenet_dsc", "--val-sharp", str(sharp_folder)]
    assert main([*arguments, *SMALL, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert len(body["pictures"]) == 4
    assert len(body["sha256"]) == 64


def test_presets_are_listed(capsys):
    assert main(["--list-presets"]) == 0
    assert json.loads(capsys.readouterr().out)["paper"]["optim"]["lr"] == 1e-4


def test_tensorboard_gets_curves_and_a_picture(train, sharp_folder, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = train("--set", "run.tensorboard=true", "--val-sharp", str(sharp_folder))
    assert code == 0, err
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"loss", "validation/psnr"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["validation"]


def test_every_validation_picture_is_blurred(sharp_folder):
    from edgedeblur.models.data.motion import Motion
    from edgedeblur.models.training.validate import sharp_examples

    for example in sharp_examples(sharp_folder, Motion(still_share=1.0), 0, 0):
        assert (example.blurry != example.sharp).any()


def test_identical_pairs_have_no_psnr_in_json(tmp_path, sharp_folder, capsys):
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / "a.png"), cv2.imread(str(sharp_folder / "0.png")))
    arguments = ["--evaluate", "--init", "zoo:mobilenet_dsc", "--val-pairs", str(tmp_path)]
    assert main([*arguments, *SMALL, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["mean"]["psnr_before"] is None
    assert body["mean"]["psnr_after"] > 20
