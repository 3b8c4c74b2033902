"""The command, on a real artifact at a small size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.cli import main
from edgedeblur.quantize.search import sensitivity
from PIL import Image


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "dsc.onnx"
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    produce(
        get_target("onnx-fp32"), checkpoint, ExportSpec("onnx-fp32", (64, 96)), path, norm="frozen"
    )
    return path


@pytest.fixture
def few_layers(monkeypatch):
    """Only three layers are tried one by one, for the time it takes."""
    whole = sensitivity.quantised_layers
    wanted = {"features.0.0", "smooth2.0.pointwise", "features.5.conv.3"}

    def some(done, recipe):
        return [layer for layer in whole(done, recipe) if layer in wanted]

    monkeypatch.setattr(sensitivity, "quantised_layers", some)


def run(capsys, *words):
    code = main([*words, "--calib-count", "4", "--threads", "2", "--rounds", "2", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_sensitivity_ranks_splits_and_draws(engine, tmp_path, capsys, few_layers):
    out = tmp_path / "q"
    code, body = run(capsys, "sensitivity", "--engine", str(engine), "-o", str(out))
    assert code == 0
    gains = [layer["spared_snr_db"] for layer in body["layers"]]
    assert len(gains) == 3
    assert gains == sorted(gains, reverse=True)
    parts = body["split"]
    assert parts["both"]["residual_snr_db"] < parts["weights only"]["residual_snr_db"]
    assert parts["activations only"]["residual_snr_db"] < parts["weights only"]["residual_snr_db"]
    assert json.loads((out / "sensitivity.json").read_text()) == body
    with Image.open(out / "layers.png") as chart:
        assert chart.width > 600
    assert body["condition"]["size"] == [64, 96]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the search keeps what it measured, for the tests that go on with it."""
    return tmp_path_factory.mktemp("search")


def test_search_writes_a_recipe_and_can_be_continued(engine, folder, tmp_path, capsys, few_layers):
    out, table = folder, tmp_path / "table.json"
    words = ["search", "--engine", str(engine), "-o", str(out), "--table", str(table)]
    code, body = run(capsys, *words, "--max-drop", "1", "--min-snr", "8")
    assert code == 0
    drop = body["evidence"]["drop"]
    assert drop["psnr_drop_db"] <= 1
    assert drop["residual_snr_db"] >= 8
    assert json.loads(table.read_text())["mobilenet_dsc"] == body
    before = (out / "recipes.json").read_text()
    code, again = run(capsys, *words, "--max-drop", "1", "--min-snr", "8")
    assert (code, again) == (0, body)
    assert (out / "recipes.json").read_text() == before


def test_out_of_reach_exits_1_with_one_line(engine, folder, capsys, few_layers):
    words = ["search", "--engine", str(engine), "-o", str(folder), "--min-snr", "90"]
    assert main([*words, "--calib-count", "4", "--threads", "2", "--rounds", "2"]) == 1
    error = capsys.readouterr().err
    assert "no recipe keeps the loss under 0.1 dB and the residual SNR over 90 dB" in error
    assert "Traceback" not in error


def test_other_artifacts_are_refused(tmp_path, capsys):
    path = tmp_path / "free.onnx"
    spec = ExportSpec("onnx-fp32", (64, 96), dynamic=True)
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    produce(get_target("onnx-fp32"), checkpoint, spec, path, norm="frozen")
    assert main(["sensitivity", "--engine", str(path), "-o", str(tmp_path)]) == 1
    assert (
        "candidates are made from an onnx-fp32 artifact of a fixed size" in capsys.readouterr().err
    )


def test_usage_errors_exit_2():
    for words in ([], ["search"], ["polish"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2


def test_qat_trains_and_says_what_it_was_worth(tmp_path, capsys):
    photos = tmp_path / "sharp"
    photos.mkdir()
    samples = Path(__file__).parents[2] / "benchmarks/samples/sharp"
    for name in ("cat", "room"):
        shutil.copy(samples / f"{name}.png", photos)
    small = ["data.epoch_steps=2", "data.batch=2", "data.crop=64", "data.workers=0",
             "run.validate_count=1", "run.validate_crop=64", "optim.warmup_steps=0",
             "optim.decay_epochs=1", "optim.frozen_norm_epochs=1"]  # fmt: skip
    words = ["qat", "--init", "zoo:mobilenet_dsc", "--sharp", str(photos), "--val-sharp",
             str(photos), "-o", str(tmp_path / "run"), "--json"]  # fmt: skip
    for setting in small:
        words += ["--set", setting]
    assert main(words) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["before_db"] != body["float_db"]
    before, after = (body["float_db"] - body[key] for key in ("before_db", "after_db"))
    assert ("does NOT beat" in body["verdict"]) == (after >= before)
    assert load_checkpoint(str(tmp_path / "run" / "last.safetensors")).backbone == "mobilenet_dsc"


def test_qat_without_a_checkpoint_is_an_error(tmp_path, capsys):
    assert main(["qat", "--sharp", str(tmp_path), "-o", str(tmp_path / "run")]) == 1
    assert "starts from a checkpoint; give it --init" in capsys.readouterr().err
