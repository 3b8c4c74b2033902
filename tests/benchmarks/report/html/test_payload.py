import json

import numpy as np
import pytest
from edgedeblur.benchmarks.report.html.payload import headings, payload, table
from edgedeblur.benchmarks.result import BenchResult

from .support import result, row, source


def test_every_number_is_one_of_the_result():
    (entry,) = payload([source("r", row("a.onnx", (10.0, 12.0, 11.0)))])["rows"]
    assert entry["label"] == entry["engine"] == "a.onnx"
    assert (entry["bytes"], entry["psnr_db"]) == (1 << 20, 27.0)
    assert entry["time"]["median_ms"] == 11.0
    assert entry["time"]["runs_ms"] == [10.0, 12.0, 11.0]
    assert entry["time"]["megapixels"] == pytest.approx(64 * 96 / 1e6)
    # cat gains 2 dB; dog is identical to the sharp picture, so its gain is not a number.
    assert entry["scores"] == [
        {"name": "cat", "blurry_db": 25.0, "gain_db": 2.0},
        {"name": "dog", "blurry_db": 30.0, "gain_db": None},
    ]


def test_rows_of_several_results_say_which_they_are_from():
    sources = [source("old", row("a.onnx")), source("new", row("a.onnx"), row("b.onnx"))]
    labels = [entry["label"] for entry in payload(sources)["rows"]]
    assert labels == ["a.onnx (old)", "a.onnx (new)", "b.onnx (new)"]
    assert [(each.number, each.source) for each in table(sources)] == [
        (0, "old"), (1, "new"), (2, "new"),
    ]  # fmt: skip


def test_the_table_has_a_cell_for_every_heading_and_no_empty_column():
    sources = [source("r", row("a.onnx"))]
    (line,) = table(sources)
    assert len(line.cells) == len(headings(sources))
    assert "GPU MiB" not in headings(sources)
    assert line.cells[headings(sources).index("PSNR dB")] == "27.00"


def test_sizes_of_a_sweep_are_told_apart():
    rows = [row("a.onnx", size=size) for size in ((64, 96), (128, 192))]
    swept = source("r", *rows, sizes=((64, 96), (128, 192)))
    entries = payload([swept])["rows"]
    assert [entry["label"] for entry in entries] == ["a.onnx 64x96", "a.onnx 128x192"]
    assert {entry["engine"] for entry in entries} == {"a.onnx"}


def test_single_runs_survive_the_file_and_older_files_have_none():
    body = json.loads(json.dumps(result(row("a", (1.23456, 2.0))).to_dict()))
    again = BenchResult.from_dict(body, origin="r")
    assert again.rows[0].latency.infer_runs_ms == (1.2346, 2.0)
    del body["rows"][0]["latency"]["infer_runs_ms"]
    older = BenchResult.from_dict({**body, "schema_version": 4}, origin="r")
    assert older.rows[0].latency.infer_runs_ms == ()
    assert np.isclose(older.rows[0].latency.infer.median_ms, (1.23456 + 2.0) / 2)
