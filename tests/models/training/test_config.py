"""Settings: presets, overrides, and refusals that name the nearest word."""

from __future__ import annotations

import pytest
from edgedeblur.models.training.config import Config, config_from, config_tree, load_config
from edgedeblur.models.training.presets import preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_a_round_trip(name):
    config = load_config(name)
    assert config_from(config_tree(config)) == config


def test_the_default_preset_is_the_papers():
    config = load_config("paper")
    assert config == Config()
    assert (config.loss.pixel, config.loss.perceptual, config.loss.adversarial) == (
        0.5,
        0.006,
        0.01,
    )
    optim = config.optim
    assert (optim.optimiser, optim.lr, optim.lr_end) == ("adam", 1e-4, 1e-7)
    assert (optim.flat_epochs, optim.decay_epochs, optim.frozen_backbone_epochs) == (150, 150, 3)


def test_overrides_are_read_as_toml_and_come_last():
    config = load_config(
        "paper", ["optim.lr=2e-4", "data.flips=false", "model.init=a.pth", "optim.lr=3e-4"]
    )
    assert config.optim.lr == 3e-4
    assert config.data.flips is False
    assert config.model.init == "a.pth"


def test_whole_numbers_are_fine_where_fractions_are_expected():
    assert load_config("paper", ["optim.clip=1"]).optim.clip == 1.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrr=1", r"unknown key in \[optim\]: 'lrr'; did you mean lr\?"),
        ("optm.lr=1", r"unknown section: 'optm'; did you mean optim\?"),
        ("optim.lr", "write section.key=value"),
        ("lr=1", "write section.key=value"),
        ("optim.flat_epochs=1.5", "optim.flat_epochs is 1.5; it must be of type int"),
        ("data.flips=1", "data.flips is 1; it must be of type bool"),
        ("optim.precision=bf61", r"did you mean bf16\?"),
        ("loss.adversarial_kind=wgan", r"did you mean wgan-gp\?"),
        ("data.crop=100", "data.crop: 100x100: both sides must be multiples of 32; .* 128x128"),
        ("data.batch=0", "at least 1"),
        ("optim.lr=-1", "lr above 0"),
        ("blur.still_share=2", r"still_share is 2.0; shares are in \[0, 1\]"),
        ("blur.length_min_px=50", "not a range"),
    ],
)
def test_mistakes_are_refused(override, message):
    with pytest.raises(ValueError, match=message):
        load_config("paper", [override])


def test_crops_suit_the_network():
    assert load_config("paper", ["model.backbone=deblurgan", "data.crop=100"]).data.crop == 100
    with pytest.raises(ValueError, match=r"data.final_crop: 128x128: inception needs sides of 160"):
        load_config("paper", ["model.backbone=inception", "data.final_crop=128"])


def test_unknown_preset_names_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"did you mean paper\?"):
        load_config("papr")


def test_a_file_that_is_not_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[optim\n")
    with pytest.raises(ValueError, match=r"mine\.toml: not TOML"):
        load_config(str(path))
    path.write_text("[optim]\nlr = 5e-5\n")
    assert load_config(str(path)).optim.lr == 5e-5
