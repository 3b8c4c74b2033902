"""What only imitates a runtime is labelled wherever it shows, and its times nowhere."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from edgedeblur.benchmarks.environment import describe_machine
from edgedeblur.benchmarks.report.formats.markdown import write_report
from edgedeblur.benchmarks.report.formats.table import print_tables
from edgedeblur.benchmarks.result import BenchResult, DataSet
from edgedeblur.benchmarks.timing.rounds import timed_rows
from edgedeblur.benchmarks.workers import worker
from edgedeblur.benchmarks.workers.jobs import Job
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.tune import tune
from edgedeblur.runtimes.cli import main
from edgedeblur.runtimes.pictures.batch import Settings, run_job
from edgedeblur.runtimes.pictures.jobs import plan_jobs
from edgedeblur.runtimes.pictures.metadata import Picture
from edgedeblur.runtimes.pictures.sources import find_sources
from edgedeblur.runtimes.pictures.write import write_picture
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_ort import OrtRunner
from PIL import Image
from rich.console import Console

from tests.benchmarks.support import conditions, sharpening, write_artifact, write_pairs


@pytest.fixture
def artifact(tmp_path, monkeypatch):
    """A true artifact whose runner calls itself an imitation."""
    monkeypatch.setattr(OrtRunner, "emulated", True)
    return write_artifact(tmp_path / "net.onnx", sharpening())


@pytest.fixture
def row(artifact, tmp_path):
    pictures = write_pairs(tmp_path / "data", 1)
    job = Job(str(artifact), artifact.name, conditions(), pictures, latency=True, quality=True)
    (row,) = timed_rows([job], 2, worker.measure)
    return row


def result(row):
    return BenchResult(
        conditions=conditions(),
        data=DataSet("data", "flat:blurry/sharp", "all", 1, "0" * 64),
        environment=describe_machine(),
        rows=(row,),
        measured_on="2026-11-21",
    )


def test_bench_has_quality_but_no_latency(row):
    assert row.error is None
    assert row.emulated
    assert row.latency is None
    assert row.quality.pictures == 1


def test_bench_labels_it_in_every_table(row, tmp_path):
    text = io.StringIO()
    print_tables(result(row), Console(file=text, width=200))
    (tmp_path / "pictures").mkdir()
    write_report(result(row), tmp_path / "report", tmp_path / "pictures", force=False)
    for shown in (text.getvalue(), (tmp_path / "report" / "report.md").read_text()):
        assert "net.onnx (emulated)" in shown
        assert "it has no times" in shown
        assert "infer ms" not in shown
        assert "peak MiB" not in shown
    body = json.loads((tmp_path / "report" / "report.json").read_text())
    assert body["rows"][0]["emulated"] is True
    assert body["rows"][0]["latency"] is None
    assert BenchResult.from_dict(body, origin="again") == result(row)


def test_run_prints_no_time_of_it(artifact, tmp_path, capsys):
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "a.png")
    words = [str(artifact), str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--force"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "64x96 emulated inference + " in said
    assert "ms inference" not in said
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["infer_ms"] is None


def test_tuning_refuses_to_time_it(artifact, tmp_path):
    target = get_target("onnx-fp32")
    with pytest.raises(ValueError, match=r"onnx-fp32 cannot be timed on this machine, which only"):
        tune(
            target, None, ExportSpec(target.name, (64, 96)), tmp_path, tmp_path / "t.json",
            rounds=1, threads=1, build=lambda text, path: None, log=lambda line: None,
        )  # fmt: skip


def test_16_bits_lost_in_8_bit_artifacts_are_remarked_on(artifact, tmp_path):
    source = tmp_path / "deep.png"
    write_picture(Picture(np.full((64, 96, 3), 300, np.uint16)), source, quality=95)
    output = str(tmp_path / "out.png")
    sources, _ = find_sources([str(source)], recursive=False, output=output)
    (job,) = plan_jobs(sources, output, suffix=None, side_by_side=False)
    with open_runner(artifact, threads=1) as runner:
        assert run_job(runner, job, Settings(), lambda done, total: None).remarks == ()
        taken = replace(runner.manifest.input, dtype="uint8")
        runner.manifest = replace(runner.manifest, input=taken)
        remarks = run_job(runner, job, Settings(), lambda done, total: None).remarks
    assert remarks == ("the artifact's input and output have 8 bits a channel, not 16",)
