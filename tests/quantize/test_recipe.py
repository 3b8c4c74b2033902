from __future__ import annotations

import json

import pytest
from edgedeblur.export.build import Settings, with_quantisation_plan
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.registry import get_target, targets
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.layer_names import layer_name
from edgedeblur.models.checkpoints.sources import zoo_names
from edgedeblur.quantize.recipe import (
    NAMES,
    Recipe,
    Scheme,
    default_recipe,
    for_runtime,
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


@pytest.fixture
def searched(monkeypatch, tmp_path):
    """A table of one network whose recipe has a layer more in float for one runtime."""
    table = tmp_path / "recipes.json"
    entry = {
        "recipe": {"observer": "mse", "keep": ["final", "smooth"]},
        "also_keep": {"tflite": ["features.1", "smooth", "fpn.td1.0.pointwise"]},
    }
    table.write_text(json.dumps({"mobilenet_dsc": entry}))
    monkeypatch.setattr("edgedeblur.quantize.recipe.DEFAULTS", table)


@pytest.mark.usefixtures("searched")
def test_a_runtime_may_need_more_layers_in_float():
    recipe = default_recipe("mobilenet_dsc")
    assert recipe.keep == ("final", "smooth")
    extended = for_runtime(recipe, "mobilenet_dsc", "tflite")
    assert extended.keep == ("final", "smooth", "features.1", "fpn.td1.0.pointwise")
    assert for_runtime(recipe, "mobilenet_dsc", "onnx") == recipe
    assert for_runtime(recipe, "mobilenet_dsc-0123abcd", "tflite") == extended
    assert for_runtime(recipe, "mobilenet", "tflite") == recipe


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize(
    ("target", "asked", "keep"),
    [
        ("tflite-int8", None, ("final", "smooth", "features.1", "fpn.td1.0.pointwise")),
        ("tflite-int8", "static_w8a8_perchannel", ("final", "smooth")),
        ("openvino-int8", None, ("final", "smooth")),
    ],
)
def test_an_export_takes_them_unless_a_recipe_is_asked_for(target, asked, keep):
    target, checkpoint = get_target(target), load_checkpoint("zoo:mobilenet_dsc")
    settings = Settings(recipe=asked, calibration_count=1)
    spec = ExportSpec(target.name, (64, 64))
    spec = with_quantisation_plan(spec, target, checkpoint, settings, lambda _: None)
    assert spec.quantise.recipe.keep == keep


def test_layers_that_runtimes_need_in_float_exist():
    from edgedeblur.quantize.recipe import DEFAULTS

    formats = {target.format for target in targets().values()}
    for key, entry in json.loads(DEFAULTS.read_text()).items():
        name = next(name for name in zoo_names() if load_checkpoint(f"zoo:{name}").key == key)
        layers = {layer_name(entry) for entry in load_checkpoint(f"zoo:{name}").state}
        for runtime, also in entry.get("also_keep", {}).items():
            assert runtime in formats
            assert all(any(is_kept(layer, (kept,)) for layer in layers) for kept in also)
