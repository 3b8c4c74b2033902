"""Exports and compressions in the page: every figure is the file's own."""

import json
from pathlib import Path

import pytest
from edgedeblur.benchmarks.report.html.cli import read_files
from edgedeblur.benchmarks.report.html.document import html_text
from edgedeblur.benchmarks.report.html.runs import (
    EXPORT_HEADINGS,
    Candidate,
    ExportRun,
    Runs,
    read_run,
)

from .support import COMPRESS, row, source


def test_a_compression_has_the_unpruned_network_the_candidates_and_the_trained_one(tmp_path):
    run = read_run(tmp_path / "compress.json", COMPRESS)
    assert [each.name for each in run.candidates] == ["unpruned", "even", "wider", "even, trained"]
    assert run.candidates[0] == Candidate("unpruned", 65.0, pytest.approx(1.4), fits=False)
    assert run.candidates[-1] == Candidate("even, trained", 30.5, pytest.approx(1.1), fits=True)
    page = html_text([source("r", row("a.onnx"))], runs=Runs([], [run]))
    assert "budget 31 ms" in page
    assert page.count("<td>+0.200</td>") == 1  # of `even`, before training
    drawn = json.loads(page.split('id="data">')[1].split("</script>")[0])["compressions"]
    assert drawn[0]["points"][2] == {"name": "wider", "cost": 44.0, "gain_db": pytest.approx(0.6)}


def test_half_a_compression_is_named(tmp_path):
    body = {key: value for key, value in COMPRESS.items() if key != "gains_db"}
    with pytest.raises(ValueError, match=r"compress\.json: not a whole compress\.json.*gains_db"):
        read_run(tmp_path / "compress.json", body)


def test_other_results_are_no_runs(tmp_path):
    assert read_run(tmp_path / "a.json", {"rows": []}) is None
    assert read_run(tmp_path / "a.json", [1]) is None


def test_an_export_is_told_by_its_manifest():
    manifest = Path(__file__).parents[3] / "golden" / "browser.onnx.json"
    body = json.loads(manifest.read_text())
    run = read_run(manifest, body)
    shown = dict(zip(EXPORT_HEADINGS, run.cells, strict=True))
    assert (shown["export"], shown["target"], shown["size"]) == (
        "browser.onnx",
        "onnx-int8",
        "32x64",
    )
    assert shown["PSNR to PyTorch dB"] == f"{body['parity']['psnr_db']:.2f}"
    body["bytes"] += 1
    with pytest.raises(ValueError, match=r"browser\.onnx\.json: manifest was altered"):
        read_run(manifest, body)


def test_an_export_is_a_row_and_its_texts_are_escaped():
    page = html_text(
        [source("r", row("a.onnx"))], runs=Runs([ExportRun(("<b>m</b>", "onnx-fp32"))], [])
    )
    assert "&lt;b&gt;m&lt;/b&gt;" in page
    assert "<b>m</b>" not in page


def test_runs_alone_make_no_report(tmp_path):
    path = tmp_path / "compress.json"
    path.write_text(json.dumps(COMPRESS))
    with pytest.raises(ValueError, match="at least one result of deblur-bench"):
        read_files([path])
