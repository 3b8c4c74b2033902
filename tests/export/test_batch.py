"""Several targets and sizes in one command."""

from __future__ import annotations

import json

import pytest
from edgedeblur.export import prepare as prepare_module
from edgedeblur.export.batch import Job, export_batch, report
from edgedeblur.export.cli import main
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.registry import get_target
from edgedeblur.runtimes.artifact import read_manifest

BACKBONE = ("--backbone", "mobilenet_dsc")


def test_one_failure_stops_no_other_and_the_exit_code_says_so(tmp_path, capsys, monkeypatch):
    calls = []
    once = prepare_module.prepare
    monkeypatch.setattr(prepare_module, "prepare", lambda *a, **k: calls.append(1) or once(*a, **k))
    names = [f"mobilenet_dsc_{t}_{s}.onnx" for s in ("32x64", "64x64")
             for t in ("onnx-fp32", "onnx-fp16")]  # fmt: skip
    for number in (1, 2):
        (tmp_path / names[number]).write_bytes(b"mine")
    command = [*BACKBONE, "--target", "onnx-fp32", "--target", "onnx-fp16", "--target", "onnx-fp32",
               "--size", "32x64", "--size", "64x64", "-o", str(tmp_path), "--json"]  # fmt: skip
    assert main(command) == 1
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [(row["target"], row["size"]) for row in rows] == [
        ("onnx-fp32", [32, 64]), ("onnx-fp16", [32, 64]),
        ("onnx-fp32", [64, 64]), ("onnx-fp16", [64, 64]),
    ]  # fmt: skip
    assert "exists already" in rows[1]["error"]
    assert err.count("deblur-export: error: onnx-fp16 32x64: ") == 1
    assert err.count("deblur-export: error: onnx-fp32 64x64: ") == 1
    assert calls == [1]  # one preparation for all
    assert (tmp_path / names[1]).read_bytes() == b"mine"
    for number in (0, 3):
        assert rows[number]["artifact"] == str(tmp_path / names[number])
        assert rows[number]["manifest"] == read_manifest(tmp_path / names[number]).to_dict()


def test_table_says_what_failed(tmp_path, capsys):
    target = get_target("onnx-fp32")
    job = Job(target, ExportSpec(target.name, (64, 32)), tmp_path / "net.onnx")

    def build(_job, log):
        log("converting")
        raise ValueError("no\nluck")

    told = []
    outcomes = export_batch([job], build, told.append)
    assert told == ["1 of 1, onnx-fp32 64x32: converting"]
    assert report(outcomes, as_json=False) == 1
    out, err = capsys.readouterr()
    assert "0 of 1 built" in out
    assert err == "deblur-export: error: onnx-fp32 64x32: no luck\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "onnx-fp16", "--tune"], "--tune takes one --target and one --size"),
        (["--size", "32x32", "--size", "64x64", "--tune"], "--tune takes one --target"),
        (["--target", "onnx-fp16", "--recipe", "x"], "onnx-fp32, onnx-fp16: not quantised"),
        (["--target", "tflite-fp32", "--dynamic"], "tflite-fp32 has a fixed size; leave out"),
        (["--target", "onnx-fp16", "--io", "image"], "onnx-fp32, onnx-fp16 have no --io"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*BACKBONE, "--target", "onnx-fp32", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_several_artifacts_need_a_folder(tmp_path, capsys):
    command = [*BACKBONE, "--target", "onnx-fp32", "--target", "onnx-fp16",
               "-o", str(tmp_path / "net.onnx")]  # fmt: skip
    assert main(command) == 1
    assert "2 artifacts need a folder; give --output DIR" in capsys.readouterr().err
