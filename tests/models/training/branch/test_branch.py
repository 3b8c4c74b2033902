"""A flat rate, then a decay that branches off: rates by hand, exactness, refusals."""

from __future__ import annotations

import json

import pytest
import torch
from edgedeblur.models.data.motion import Motion
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training import schedule, state
from edgedeblur.models.training.branch import read_branch
from edgedeblur.models.training.config import Optim, config_tree, load_config
from edgedeblur.models.training.crops.loader import Crops, Plan
from edgedeblur.models.training.crops.sources import PictureStore, SharpPictures
from edgedeblur.models.training.distributed import ProcessGroup
from edgedeblur.models.training.trainer import Trainer

FLAT = ("optim.flat_epochs=1000", "optim.decay_epochs=0", "optim.warmup_steps=2", "optim.lr_end=0")


@pytest.fixture
def trainer(sharp_folder, tmp_path):
    def build(config, folder, labels=("four",)):
        torch.manual_seed(config.data.seed)
        crops = Crops([SharpPictures(sharp_folder, Motion(), PictureStore(10**9))], seed=0)
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        generator = build_generator(config.model.backbone)
        run = Trainer(config, generator, crops, path, group=ProcessGroup(), labels=labels)
        run.rates = []
        step = run._train_step

        def noted(batch):
            parts = step(batch)
            run.rates.append(parts["lr"])
            return parts

        run._train_step = noted
        return run

    return build


@pytest.fixture
def flat(trainer, tiny):
    """A flat run, saved at step 6."""
    config = tiny(*FLAT)
    run = trainer(config, "flat")
    state.write_config(run.folder, config, ["four"])
    run.run(stop_after=6)
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def assert_same_run(first, second):
    assert_equal_states(first.generator.state_dict(), second.generator.state_dict())
    assert_equal_states(first.averaged.values, second.averaged.values)
    moments = [run._optimiser.state_dict()["state"] for run in (first, second)]
    assert moments[0].keys() == moments[1].keys()
    for number, entry in moments[0].items():
        assert_equal_states(entry, moments[1][number])


@pytest.mark.parametrize(
    ("kind", "falling"),
    [
        ("linear", [1e-3, 0.775e-3, 0.55e-3, 0.325e-3, 1e-4]),
        # 1e-4 + 9e-4 * (1 + cos(pi k / 4)) / 2
        ("cosine", [1e-3, 8.681980515e-4, 5.5e-4, 2.318019485e-4, 1e-4]),
    ],
)
def test_the_rate_of_every_step_by_hand(kind, falling):
    optim = Optim(lr=1e-3, lr_end=1e-4, flat_epochs=1, decay_epochs=0, warmup_steps=2, decay=kind)
    rates = [schedule.learning_rate(optim, step, 10**6) for step in (0, 1, 2, 3, 999_999)]
    assert rates == [0.5e-3, 1e-3, 1e-3, 1e-3, 1e-3]
    ended = Optim(
        **{**vars(optim), "decay_at": 4, "decay_steps": 5},
    )
    rates = [schedule.learning_rate(ended, step, 10**6) for step in range(9)]
    assert rates == pytest.approx([0.5e-3, 1e-3, 1e-3, 1e-3, *falling], rel=1e-9)
    assert schedule.decay_span(ended, 10**6) == (4, 5)


def test_the_decay_sets_the_length_and_the_last_epochs(tiny):
    config = tiny(
        *FLAT, "optim.decay_at=6", "optim.decay_steps=7", "optim.frozen_norm_epochs=1",
        "data.final_epochs=1", "data.final_crop=96", "data.final_batch=1",
    )  # fmt: skip
    plan = Plan(config, items=10)
    assert (plan.steps, plan.final_start) == (13, 9)  # an epoch is 4 steps here
    frozen = [schedule.norms_are_frozen(config.optim, step, 4) for step in range(13)]
    assert frozen == [False] * 9 + [True] * 4
    keys = [key for step in range(13) for key in plan.keys(step)]
    assert keys == [(n, 64) for n in range(18)] + [(n, 96) for n in range(18, 22)]


def test_a_short_decay_leaves_the_crops_before_it_alone(tiny):
    config = tiny(*FLAT, "optim.decay_at=6", "optim.decay_steps=2", "data.final_epochs=1")
    plan = Plan(config, items=10)
    assert (plan.steps, plan.final_start) == (8, 6)
    assert plan.keys(5) == Plan(tiny(*FLAT), items=10).keys(5) == [(10, 64), (11, 64)]
    assert plan.keys(6) == [(12, 256)]


def test_a_decay_starts_where_the_run_stood_and_falls_to_zero(flat, trainer, tiny):
    branch = read_branch(flat.folder, 5, [])
    run = trainer(branch.config, "decay")
    run.start_from(branch)
    assert run.step == 6
    assert_same_run(run, flat)
    run.run(stop_after=7)  # the first step of a decay has the whole rate: it is the run's next
    further = trainer(tiny(*FLAT), "flat")
    further.resume()
    further.run(stop_after=7)
    assert_same_run(run, further)
    run.run()
    assert run.step == run.plan.steps == 11
    assert run.rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0.0], rel=1e-9, abs=0)
    assert (flat.rates, further.rates) == ([0.5e-3, *[1e-3] * 5], [1e-3])


def test_the_flat_run_does_not_notice(flat, trainer, tiny):
    before = contents(flat.folder)
    branch = read_branch(flat.folder, 2, [])
    run = trainer(branch.config, "decay")
    run.start_from(branch)
    run.run()
    assert contents(flat.folder) == before
    further = trainer(tiny(*FLAT), "flat")
    further.resume()
    further.run(stop_after=8)
    whole = trainer(tiny(*FLAT), "whole")
    whole.run(stop_after=8)
    assert_same_run(further, whole)


def test_a_decay_that_broke_off_ends_bit_equal(flat, trainer):
    branch = read_branch(flat.folder, 5, ["optim.decay=cosine", "optim.frozen_norm_epochs=1"])
    whole = trainer(branch.config, "whole")
    whole.start_from(branch)
    whole.run()
    first = trainer(branch.config, "broken")
    first.start_from(branch)
    first.run(stop_after=9)
    second = trainer(branch.config, "broken")
    second.resume()
    assert second.step == 9
    second.run()
    assert_same_run(whole, second)
    assert whole.rates == first.rates + second.rates


def test_settings_that_a_decay_may_change(flat):
    config = read_branch(
        flat.folder, 3, ["optim.lr_end=1e-6", "optim.ema=0.5", "data.final_crop=96"]
    ).config
    assert (config.optim.lr_end, config.optim.ema, config.data.final_crop) == (1e-6, 0.5, 96)
    assert (config.optim.decay_at, config.optim.decay_steps) == (6, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=2e-3", r"optim\.lr is 0\.001 in the run and stays so in a decay"),
        ("data.batch=4", r"data\.batch is 2 in the run"),
        ("blur.length_max_px=20", r"blur\.length_max_px is 40\.0 in the run"),
        ("optim.ema=0", "if, and only if, the run does"),
        ("optim.lrend=0", r"did you mean lr_end\?"),
    ],
)
def test_settings_that_stay(flat, override, message):
    with pytest.raises(ValueError, match=message):
        read_branch(flat.folder, 3, [override])


def test_nothing_branches_off_other_data_or_a_rate_that_moves(flat, trainer, tiny):
    branch = read_branch(flat.folder, 3, [])
    with pytest.raises(ValueError, match="other settings, data or number of processes"):
        trainer(branch.config, "other", labels=["five"]).start_from(branch)
    for settings, stop in (((), 6), ((*FLAT, "optim.warmup_steps=8"), 2)):
        config = tiny(*settings)
        run = trainer(config, "moving")
        state.write_config(run.folder, config, ["four"])
        run.run(stop_after=stop)
        branch = read_branch(run.folder, 3, [])
        with pytest.raises(ValueError, match=f"at step {stop} the rate is not flat"):
            trainer(branch.config, "decay").start_from(branch)


def test_damaged_or_missing_runs(flat, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_branch(tmp_path / "nowhere", 3, [])
    with pytest.raises(ValueError, match="--decay-steps is 0"):
        read_branch(flat.folder, 0, [])
    (flat.folder / state.CONFIG_NAME).write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json: damaged"):
        read_branch(flat.folder, 3, [])


def test_runs_from_before_there_were_these_settings_go_on(tiny):
    config = tiny(*FLAT)
    old = json.loads(json.dumps(config_tree(config)))
    del old["optim"]["decay_at"], old["optim"]["decay_steps"], old["loss"]["distill_kind"]
    assert state.tree_fingerprint(old, ["four"], 1) == state.fingerprint(config, ["four"], 1)
    psnr = tiny(*FLAT, "loss.distill_kind=psnr")
    assert state.fingerprint(psnr, ["four"], 1) != state.fingerprint(config, ["four"], 1)
    ended = tiny(*FLAT, "optim.decay_at=6", "optim.decay_steps=7")
    other = tiny(*FLAT, "optim.decay_at=6", "optim.decay_steps=8")
    assert state.fingerprint(ended, ["four"], 1) != state.fingerprint(other, ["four"], 1)


def test_the_long_preset_is_flat_until_it_branches():
    config = load_config("long_mobilenet", ["optim.decay_at=12500", "optim.decay_steps=2000"])
    each = config.data.epoch_steps
    flat = load_config("long_mobilenet")
    assert schedule.learning_rate(flat.optim, 10**7, each) == 3e-4
    assert schedule.learning_rate(config.optim, 13_500, each) == pytest.approx(
        3e-4 * (1 - 1000 / 1999), rel=1e-9
    )
    assert schedule.learning_rate(config.optim, 14_499, each) == 0.0
    plan = Plan(config, items=1000)
    assert (plan.steps, plan.final_start) == (14_500, 14_000)
    assert not schedule.norms_are_frozen(config.optim, 13_999, each)
    assert schedule.norms_are_frozen(config.optim, 14_000, each)
