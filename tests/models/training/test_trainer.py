"""The loop: exact resuming, phases, refusals. Runs of eight tiny steps on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.data.motion import Motion
from edgedeblur.models.network.norm import norms
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training import state
from edgedeblur.models.training.crops.loader import Crops
from edgedeblur.models.training.crops.sources import PictureStore, SharpPictures
from edgedeblur.models.training.distributed import ProcessGroup
from edgedeblur.models.training.divergence import DivergedError
from edgedeblur.models.training.extras import Extras
from edgedeblur.models.training.trainer import Trainer
from edgedeblur.models.training.validate import sharp_examples


@pytest.fixture
def trainer(sharp_folder, tmp_path):
    def build(config, folder="run", **extras):
        torch.manual_seed(config.data.seed)
        generator = build_generator(config.model.backbone)
        crops = Crops([SharpPictures(sharp_folder, Motion(), PictureStore(10**9))], seed=0)
        (tmp_path / folder).mkdir(exist_ok=True)
        return Trainer(
            config,
            generator,
            crops,
            tmp_path / folder,
            group=ProcessGroup(),
            labels=["four"],
            extras=Extras(**extras),
        )

    return build


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


GAN = ("loss.adversarial=0.01", "data.crop=128", "data.batch=1", "optim.flat_epochs=0")


@pytest.mark.parametrize(
    "settings",
    [
        (),
        (*GAN, "loss.adversarial_kind=ragan-ls"),
        (*GAN, "loss.adversarial_kind=wgan-gp", "loss.critic_steps=2"),
    ],
    ids=["plain", "ragan-ls", "wgan-gp"],
)
def test_a_resumed_run_ends_bit_equal(trainer, tiny, settings):
    config = tiny(*settings)
    whole = trainer(config, "whole")
    whole.run()
    first = trainer(config, "broken")
    first.run(stop_after=3)  # saved at 2 and, as it ends, at 3
    second = trainer(config, "broken")
    second.resume()
    assert second.step == 3
    second.run()
    assert_equal_states(whole.generator.state_dict(), second.generator.state_dict())
    assert_equal_states(whole.averaged.values, second.averaged.values)
    if whole.adversary is not None:
        assert_equal_states(whole.adversary.plain.state_dict(), second.adversary.plain.state_dict())
    first_log = state.read_log(whole.folder / state.LOG_NAME)
    second_log = state.read_log(second.folder / state.LOG_NAME)
    assert [line["step"] for line in first_log] == [whole.plan.steps]
    # A line holds the mean since the one before it.
    steps = whole.plan.steps
    assert [line["step"] for line in second_log] == [3, steps]
    losses = [line["loss"] for line in second_log]
    assert first_log[-1]["loss"] == pytest.approx(np.average(losses, weights=[3, steps - 3]))


def tiny_command(sharp_folder, *, epoch_steps, save_steps):
    command = [
        *(sys.executable, "-m", "edgedeblur.models.training.cli"),
        *("--preset", "paper", "--sharp", str(sharp_folder), "--device", "cpu", "--threads", "1"),
    ]
    for override in (
        *("loss.pixel_kind=l1", "loss.perceptual=0", "loss.adversarial=0", "data.workers=0"),
        *("optim.flat_epochs=0", "optim.decay_epochs=1", f"data.epoch_steps={epoch_steps}"),
        *("data.crop=64", f"run.save_steps={save_steps}", "run.tensorboard=false", "optim.ema=0.9"),
    ):
        command += ["--set", override]
    return command


def test_killed_at_any_moment_and_resumed(sharp_folder, tmp_path):
    """SIGKILL while steps are being written; the rest must not notice."""
    command = tiny_command(sharp_folder, epoch_steps=12, save_steps=1)
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True, capture_output=True)
    broken = tmp_path / "broken"
    process = subprocess.Popen([*command, "-o", str(broken)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (broken / state.STATE_NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    killed_at = torch.load(broken / state.STATE_NAME, weights_only=True)["step"]
    assert 1 <= killed_at < 12
    subprocess.run([*command, "-o", str(broken), "--resume"], check=True, capture_output=True)
    first = load_checkpoint(str(tmp_path / "whole" / state.LAST_NAME)).state
    assert_equal_states(first, load_checkpoint(str(broken / state.LAST_NAME)).state)


def test_another_runs_state_is_refused(trainer, tiny):
    trainer(tiny()).run(stop_after=2)
    other = trainer(tiny("optim.lr=5e-4"))
    with pytest.raises(ValueError, match="other settings, data or number of processes"):
        other.resume()
    same = trainer(tiny("run.save_steps=7", "data.workers=1"))  # bookkeeping may change
    same.resume()


def test_a_damaged_state_is_refused(trainer, tiny):
    run = trainer(tiny())
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        run.resume()
    run.run(stop_after=2)
    path = run.folder / state.STATE_NAME
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"state\.pt: damaged"):
        run.resume()


def test_training_reduces_the_loss_and_saves_what_it_validated(trainer, tiny, sharp_folder):
    config = tiny("data.epoch_steps=20", "optim.lr=2e-3", "run.validate_steps=20")
    examples = sharp_examples(sharp_folder, Motion(), 2, 64)
    run = trainer(config, examples=examples)
    run.run()
    log = state.read_log(run.folder / state.LOG_NAME)
    scored = [line for line in log if "psnr" in line]
    assert [line["step"] for line in scored] == [20, 40]
    best = load_checkpoint(str(run.folder / state.BEST_NAME))
    assert best.norm == "frozen"
    assert float(best.metadata["validation_psnr_db"]) == pytest.approx(
        max(line["psnr"] for line in scored), abs=1e-3
    )
    last = load_checkpoint(str(run.folder / state.LAST_NAME))
    assert_equal_states(dict(last.state), run.averaged.values)


def test_not_a_number_stops_and_names_the_last_good_checkpoint(trainer, tiny):
    run = trainer(tiny())
    run.run(stop_after=2)
    with torch.no_grad():
        next(run.generator.parameters()).fill_(float("nan"))
    before = (run.folder / state.STATE_NAME).read_bytes()
    with pytest.raises(DivergedError, match=r"step 2: loss is nan; the last good.*state\.pt"):
        run.run()
    assert (run.folder / state.STATE_NAME).read_bytes() == before


def test_an_exploding_loss_stops(trainer, tiny, monkeypatch):
    monkeypatch.setattr("edgedeblur.models.training.divergence._WATCH_FROM", 2)
    run = trainer(tiny())
    run.run(stop_after=2)
    run._guard.running_loss = 1e-9
    with pytest.raises(DivergedError, match="loss jumped to"):
        run.run()


def test_too_many_unreadable_pictures_stop_the_run(trainer, tiny):
    run = trainer(tiny("data.bad_limit=1"))

    class Broken:
        label = "broken"

        def __len__(self):
            return 4

        def draw(self, index, rng, size):
            from pathlib import Path

            from edgedeblur.models.training.crops.sources import BadPictureError

            if index % 2 == 0:
                raise BadPictureError(Path(f"{index}.png"), "cannot be decoded as a picture")
            return SharpPictures.draw(good, 0, rng, size)

    good = run._crops.sources[0]
    run._crops.__init__([Broken()], seed=0)
    told = []
    run.extras.report = told.append
    with pytest.raises(ValueError, match=r"unusable pictures, more than data\.bad_limit=1"):
        run.run()
    assert any("skipped (1): " in text and ".png: cannot be decoded" in text for text in told)


def test_a_full_disk_keeps_the_last_checkpoint(trainer, tiny, monkeypatch):
    run = trainer(tiny())
    run.run(stop_after=2)
    before = (run.folder / state.STATE_NAME).read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"cannot write .*state\.pt \(No space left"):
        run.run()
    monkeypatch.undo()
    assert (run.folder / state.STATE_NAME).read_bytes() == before
    assert not list(run.folder.glob(".partial-*"))


def test_the_backbone_rests_at_first(trainer, tiny):
    config = tiny("optim.frozen_backbone_epochs=1", "model.init=something")
    run = trainer(config)
    start = [p.detach().clone() for p in run.generator.fpn.features.parameters()]
    head = run.generator.head1.block0.pointwise.weight.detach().clone()
    run.run(stop_after=4)
    resting = zip(start, run.generator.fpn.features.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in resting)
    assert not torch.equal(head, run.generator.head1.block0.pointwise.weight)
    run.run()
    moving = zip(start, run.generator.fpn.features.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in moving if a.ndim == 4)


def test_norms_keep_their_statistics_in_the_last_epochs(trainer, tiny):
    run = trainer(tiny("optim.frozen_norm_epochs=1"))
    run.run(stop_after=4)
    before = {n: m.running_mean.clone() for n, m in norms(run.generator).items()}
    run.run()
    for name, norm in norms(run.generator).items():
        assert torch.equal(before[name], norm.running_mean), name


def test_averaged_weights_by_hand():
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = state.Averaged(layer, 0.9)
    layer.weight.data.fill_(1.0)
    average.update(layer, 0)  # decay min(0.9, 1/10)
    assert float(average.values["weight"]) == pytest.approx(0.9)
    layer.weight.data.fill_(2.0)
    average.update(layer, 1000)  # decay 0.9
    assert float(average.values["weight"]) == pytest.approx(0.9 * 0.9 + 0.1 * 2.0)


def test_low_precision_trains_close_to_full(trainer, tiny):
    full = trainer(tiny(), "full")
    full.run(stop_after=1)
    low = trainer(tiny("optim.precision=bf16"), "low")
    low.run(stop_after=1)
    first = state.read_log(full.folder / state.LOG_NAME)[0]["loss"]
    second = state.read_log(low.folder / state.LOG_NAME)[0]["loss"]
    assert first != second
    assert second == pytest.approx(first, rel=0.02)


def test_crops_too_small_for_the_discriminator(trainer, tiny):
    with pytest.raises(ValueError, match=r"crops of 64 pixels are too small.*needs 128"):
        trainer(tiny("loss.adversarial=0.01"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_as_if_it_never_came(number, sharp_folder, tmp_path):
    command = tiny_command(sharp_folder, epoch_steps=40, save_steps=1000)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, "-o", str(whole)], check=True, capture_output=True)
    process = subprocess.Popen(
        [*command, "-o", str(broken)], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    for line in process.stderr:  # the run itself starts after this line
        if line.startswith("data: "):
            break
    deadline = time.monotonic() + 120
    while not (broken / state.CONFIG_NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.3)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    saved_at = torch.load(broken / state.STATE_NAME, weights_only=True)["step"]
    assert f"stopped at step {saved_at}; everything is saved, go on with --resume" in told
    assert saved_at < 40  # nothing else would have saved it
    subprocess.run([*command, "-o", str(broken), "--resume"], check=True, capture_output=True)
    first = load_checkpoint(str(whole / state.LAST_NAME)).state
    assert_equal_states(first, load_checkpoint(str(broken / state.LAST_NAME)).state)
