"""A compressed network, as the zoo ships one: its name, its recipe, its rewrites."""

from __future__ import annotations

import dataclasses
import json
import shutil

import edgedeblur.export.rewrites.tables as tables
import edgedeblur.models.checkpoints.sources as sources
import edgedeblur.quantize.recipe as recipe
import pytest
import torch
from edgedeblur.export import Settings
from edgedeblur.export import export as export_from_python
from edgedeblur.export.cli import main
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from edgedeblur.models.network.registry import build_generator, get_backbone

NAME = "mobilenet_dsc_slim"
DEFAULT = get_backbone("mobilenet_dsc").widths
# Without the block features.3 and the second convolution of two heads.
HIDDEN = (DEFAULT.hidden[0], 0, *DEFAULT.hidden[2:])
HEADS = ((0, 12), (0, 8), (8, 8), (8, 8))
SLIM = dataclasses.replace(DEFAULT, hidden=HIDDEN, heads=HEADS, smooth=16, smooth2=8)


def slim_weights(path, **metadata):
    torch.manual_seed(0)
    generator = build_generator("mobilenet_dsc", widths=SLIM).eval()
    save_checkpoint(generator, path, norm="frozen", metadata=metadata)
    return path


@pytest.fixture(autouse=True)
def zoo(monkeypatch, tmp_path):
    """A zoo with one compressed network, on a machine of the family avx512 without a table."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    shutil.copy(sources.zoo_path("mobilenet_dsc"), folder)
    slim_weights(folder / f"{NAME}.safetensors", network=NAME)
    monkeypatch.setattr(sources, "_ZOO", folder)
    monkeypatch.setattr(tables, "cpu_family", lambda: "avx512")
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path / "cache"))
    return folder


def run(*arguments, folder, target="onnx-fp32"):
    size = ("--size", "64x64", "--force", "-o", str(folder))
    return main([*arguments, "--target", target, *size])


def manifest(path):
    return json.loads(path.with_name(f"{path.name}.json").read_text())


@pytest.mark.parametrize(
    "choice",
    [
        ("--backbone", NAME),
        ("--checkpoint", f"zoo:{NAME}"),
        ("--backbone", "mobilenet_dsc", "--checkpoint", f"zoo:{NAME}"),
        ("--backbone", NAME, "--checkpoint", f"zoo:{NAME}"),
    ],
)
def test_artifacts_bear_the_networks_name(tmp_path, capsys, choice):
    assert run(*choice, folder=tmp_path / "out") == 0
    path = tmp_path / "out" / f"{NAME}_onnx-fp32_64x64.onnx"
    body = manifest(path)
    assert (body["network"], body["backbone"]) == (NAME, "mobilenet_dsc")
    assert body["widths"]["smooth"] == 16
    tuned = tables.best_rewrite("onnx-fp32", "mobilenet_dsc").rewrite
    assert ",".join(body["rewrites"]) == tuned != "none"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "--tune" in line] == [
        "rewrites: tuned for mobilenet_dsc on AMD EPYC (avx512), 736x1280, 2 threads, not for this "
        "network: run deblur-export --tune here"
    ]


def test_the_published_networks_are_named_after_their_backbones(tmp_path, capsys):
    assert run("--backbone", "mobilenet_dsc", folder=tmp_path) == 0
    assert manifest(tmp_path / "mobilenet_dsc_onnx-fp32_64x64.onnx")["network"] == "mobilenet_dsc"
    out = capsys.readouterr().out
    assert "tuned for mobilenet_dsc on AMD EPYC (avx512), 736x1280, 2 threads\n" in out
    assert "--tune" not in out


def test_weights_without_a_name_are_named_after_their_key(tmp_path):
    path = slim_weights(tmp_path / "mine.safetensors")
    key = load_checkpoint(str(path)).key
    assert key.startswith("mobilenet_dsc-")
    assert run("--checkpoint", str(path), folder=tmp_path) == 0
    assert (tmp_path / f"{key}_onnx-fp32_64x64.onnx").is_file()


def test_python_takes_the_name_of_a_shipped_network(tmp_path):
    done = export_from_python(NAME, "onnx-fp32", size=(64, 64), output=tmp_path,
                              settings=Settings(rewrite="none"))  # fmt: skip
    assert done.path == tmp_path / f"{NAME}_onnx-fp32_64x64.onnx"
    assert done.manifest.network == NAME


def test_another_network_than_the_one_named_is_refused(tmp_path, capsys, zoo):
    other = zoo / "mobilenet_dsc.safetensors"
    assert run("--backbone", NAME, "--checkpoint", str(other), folder=tmp_path) == 1
    assert capsys.readouterr().err == (
        f"deblur-export: error: {other}: holds a mobilenet_dsc checkpoint, not {NAME}; "
        "use --backbone mobilenet_dsc or another --checkpoint\n"
    )
    assert run("--backbone", "mobilenet", "--checkpoint", f"zoo:{NAME}", folder=tmp_path) == 1
    assert f"holds a {NAME} checkpoint, not mobilenet;" in capsys.readouterr().err


def test_weights_of_the_named_widths_are_that_network(tmp_path):
    path = slim_weights(tmp_path / "mine.safetensors", network="tuned_further")
    assert load_checkpoint(str(path), backbone=NAME).network == "tuned_further"


def test_names_are_offered_and_typos_get_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--backbone", "mobilenet_dsc_slin", "--target", "onnx-fp32"])
    assert stopped.value.code == 2
    assert f"unknown backbone 'mobilenet_dsc_slin'; did you mean {NAME}?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"mobilenet, mobilenet_dsc, {NAME}, msr2b;" in " ".join(capsys.readouterr().out.split())


def test_every_shipped_file_is_the_network_it_is_named_after(monkeypatch):
    monkeypatch.undo()
    names = sources.zoo_names()
    assert {"mobilenet", "mobilenet_dsc"} <= set(names)
    assert [load_checkpoint(f"zoo:{name}").network for name in names] == list(names)


def searched(monkeypatch, tmp_path, *keys):
    """Recipes for ``keys`` that keep layers which the slim network left out."""
    keep = ("final", "features.3.conv.0", "head1.block1", "features.0.0")
    own = recipe.Recipe(observer="mse", keep=keep)
    table = {key: {"recipe": {**own.to_dict(), "percentile": 90.0 + i}}
             for i, key in enumerate(keys)}  # fmt: skip
    monkeypatch.setattr(recipe, "DEFAULTS", tmp_path / "recipes.json")
    recipe.DEFAULTS.write_text(json.dumps(table))


def test_int8_tells_whose_recipe_it_took_and_what_is_faster(tmp_path, capsys, monkeypatch):
    key = load_checkpoint(f"zoo:{NAME}").key
    times = {"onnx-int8": 53.0, "onnx-fp32": 50.0, "openvino-fp16": 20.0}
    table = {
        f"{target}/{key}/avx512": {
            "rewrite": "none", "machine": "A CPU", "size": [64, 64], "threads": 2,
            "candidates": [{"rewrite": "none", "quartile_ms": ms}],
        } for target, ms in times.items()
    }  # fmt: skip
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "rewrites.json").write_text(json.dumps(table))
    searched(monkeypatch, tmp_path, "mobilenet_dsc")
    options = ("--backbone", NAME, "--max-drop", "50", "--calib-count", "2")
    assert run(*options, folder=tmp_path, target="onnx-int8") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "rewrites: tuned for " + key + " on A CPU (avx512), 64x64, 2 threads",
        "recipe of mobilenet_dsc, not searched for this network",
        "onnx-int8 is slower than onnx-fp32: 53.0 and 50.0 ms on A CPU (avx512), 64x64, 2 threads",
    ]
    found = manifest(tmp_path / f"{NAME}_onnx-int8_64x64.onnx")["quantisation"]["recipe"]
    assert (found["observer"], found["percentile"]) == ("mse", 90.0)
    assert found["keep"] == ["final", "features.0.0"]  # the others are nowhere in this network


def test_a_recipe_of_ones_own_comes_first(tmp_path, monkeypatch):
    key = load_checkpoint(f"zoo:{NAME}").key
    searched(monkeypatch, tmp_path, "mobilenet_dsc", key)
    assert recipe.searched_network(key) == key
    assert recipe.default_recipe(key).percentile == 91.0
    assert recipe.read_recipe("weight_only_w8", key).percentile == 91.0
    assert recipe.default_recipe("mobilenet_dsc-00000000").percentile == 90.0
    assert recipe.searched_network("five_convolutions") is None
    assert recipe.default_recipe("five_convolutions") == recipe.Recipe()


def test_several_targets_say_it_of_each(tmp_path, capsys):
    targets = ("--target", "onnx-fp16")
    assert run("--backbone", NAME, *targets, folder=tmp_path) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "rewrites: " in line]
    assert [line.partition(": ")[0] for line in lines] == ["onnx-fp16 64x64", "onnx-fp32 64x64"]
    assert lines[0].endswith(": not tuned for this target and network; see deblur-export --tune")
    assert lines[1].endswith(" not for this network: run deblur-export --tune here")
