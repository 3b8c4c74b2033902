from __future__ import annotations

import json

import pytest
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_names
from edgedeblur.quantize.recipe import (
    NAMES,
    Recipe,
    Scheme,
    default_recipe,
    is_kept,
    read_recipe,
    with_whole_blocks,
    without_missing,
)


@pytest.mark.parametrize(
    ("name", "bits", "per_channel", "symmetric"),
    [
        ("static_w8a8_perchannel", 8, True, False),
        ("static_w8a8", 8, True, False),
        ("static_w8a8_pertensor", 8, False, False),
        ("static_w8a8_perchannel_symmetric", 8, True, True),
        ("static_w8a16", 16, True, False),
        ("weight_only_w8", None, True, False),
    ],
)
def test_names_decode(name, bits, per_channel, symmetric):
    assert Scheme.decode(name) == Scheme(bits, per_channel, symmetric)


def test_all_listed_names_decode():
    assert all(Scheme.decode(name) for name in NAMES)


@pytest.mark.parametrize("name", ["static_w4a8", "int8", "weight_only_w8_symmetric", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="unknown recipe"):
        Recipe(name)


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean static_w8a8_perchannel"):
        Recipe("static_w8a8_perchanel")


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="unknown observer 'max'"):
        Recipe(observer="max")
    with pytest.raises(ValueError, match="percentile is 40"):
        Recipe(percentile=40)


def test_a_recipe_survives_json():
    recipe = Recipe("static_w8a16", "mse", 99.9, equalise=True, keep=("final", "features.0.0"))
    body = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(body, origin="here") == recipe


def test_values_of_another_kind_are_refused():
    for body in ({"observer": 3}, {"keep": "final"}, {"percentile": "99"}, {"equalise": 1}):
        with pytest.raises(ValueError, match=r"here: \w+ is .*; an example is"):
            Recipe.from_dict(body, origin="here")


def test_unknown_keys_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown key 'kept'; did you mean keep"):
        Recipe.from_dict({"kept": []}, origin="here")


def test_a_prefix_keeps_whole_layers_only():
    assert is_kept("final", ("final",))
    assert is_kept("final.pointwise", ("final",))
    assert not is_kept("features.10.conv.0", ("features.1",))
    assert not is_kept("final", ())


def test_recipes_are_read_by_name_and_from_files(tmp_path):
    assert read_recipe(None, "mobilenet") == default_recipe("mobilenet")
    assert read_recipe("weight_only_w8", "mobilenet").keep == default_recipe("mobilenet").keep
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"recipe": {"observer": "mse"}, "evidence": {}}))
    assert read_recipe(str(path), "mobilenet") == Recipe(observer="mse")
    with pytest.raises(FileNotFoundError, match="no such recipe"):
        read_recipe(str(tmp_path / "no.json"), "mobilenet")
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a recipe"):
        read_recipe(str(path), "mobilenet")
    path.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read_recipe(str(path), "mobilenet")


def test_layers_that_a_network_does_not_have_are_left_out():
    layers = {"final.pointwise", "features.1.conv.0", "features.10.conv.0"}
    keep = (
        "final",
        "features.2",
        "features.1",
        "depthwise",
        "narrow",
        "head1",
        "features.10.conv.0",
    )
    found = without_missing(Recipe(observer="mse", keep=keep), layers)
    assert found == Recipe(
        observer="mse", keep=("final", "features.1", "depthwise", "narrow", "features.10.conv.0")
    )


def test_a_block_of_which_one_half_is_kept_is_kept_whole():
    found = with_whole_blocks(Recipe(keep=("final", "smooth2.0.pointwise", "features.0.0")))
    assert found == Recipe(keep=("final", "smooth2", "features.0.0"))


def test_shipped_recipes_are_valid_and_have_evidence():
    from edgedeblur.quantize.recipe import DEFAULTS

    shipped = json.loads(DEFAULTS.read_text())
    assert set(shipped) == {load_checkpoint(f"zoo:{name}").key for name in zoo_names()}
    for backbone, entry in shipped.items():
        recipe = default_recipe(backbone)
        assert "final" in recipe.keep
        drop = entry["evidence"]["drop"]
        limits = entry["evidence"]["limits"]
        assert drop["psnr_drop_db"] <= limits["max_drop_db"]
        assert drop["residual_snr_db"] >= limits["min_snr_db"]
        assert entry["evidence"]["layers"]
