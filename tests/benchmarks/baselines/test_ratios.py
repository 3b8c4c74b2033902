import dataclasses
import io
import json
from pathlib import Path

import pytest
from edgedeblur.benchmarks.baselines.ratios import with_ratios
from edgedeblur.benchmarks.report.captions import conventions
from edgedeblur.benchmarks.report.columns import time_columns
from edgedeblur.benchmarks.report.formats.table import print_tables
from edgedeblur.benchmarks.report.readme import results_table_markdown
from edgedeblur.benchmarks.result import Footprint, Row, read_result

from ..report.test_report import result
from ..support import latency

ROOT = Path(__file__).parents[3]


def row(name, ms, *, size=(64, 96), weights="a" * 64, **changes):
    fields = {"runtime": "onnxruntime", "precision": "fp32", "checkpoint_sha256": weights}
    return Row(name, latency=latency([ms], size=size), **{**fields, **changes})


ROWS = (
    row("baseline", 120.0, runtime="torch", baseline="reference"),
    row("stock ort", 48.0, baseline="stock"),
    row("stock openvino", 40.0, baseline="stock", runtime="openvino"),
    row("stock bf16", 20.0, baseline="stock", runtime="openvino", precision="bf16"),
    row("ours ort", 24.0),
    row("ours openvino", 30.0, runtime="openvino", precision="f32"),
    row("ours bf16", 16.0, runtime="openvino", precision="bf16"),
    row("ours int8", 10.0, precision="int8"),
    row("other size", 10.0, size=(96, 96)),
    row("other weights", 10.0, weights="b" * 64),
    Row("failed", error="failed: no"),
)


def test_ratios_are_the_hand_computed_ones():
    found = {row.engine: (row.x_baseline, row.x_stock) for row in with_ratios(ROWS)}
    assert found == {
        "baseline": (1.0, None),
        "stock ort": (2.5, 1.0),
        "stock openvino": (3.0, 1.0),
        "stock bf16": (6.0, 1.0),
        "ours ort": (5.0, 2.0),
        "ours openvino": (4.0, 40 / 30),
        "ours bf16": (7.5, 1.25),
        "ours int8": (12.0, None),
        "other size": (None, None),
        "other weights": (None, None),
        "failed": (None, None),
    }


def test_a_failed_baseline_leaves_the_column_empty():
    rows = with_ratios((dataclasses.replace(ROWS[0], latency=None, error="no"), *ROWS[4:5]))
    assert rows[1].x_baseline is None


def test_tables_show_ratios_and_say_what_they_are():
    from rich.console import Console

    shown = result(*with_ratios(ROWS))
    console = Console(width=160, record=True, file=io.StringIO())
    print_tables(shown, console)
    text = console.export_text()
    for part in ("x baseline", "x stock", "12.00", "1.33"):
        assert part in text
    assert "x baseline" not in "".join(conventions(result(*ROWS)))
    assert [column.heading for column in time_columns()].count("x stock") == 1


def test_readme_has_ratio_columns_only_where_there_are_ratios(tmp_path):
    counted = Footprint(1, 1, (64, 96), 1, 2, 1, None, "graph")
    for name, rows in (("with", with_ratios(ROWS[:8])), ("without", ROWS[4:8])):
        folder = tmp_path / name
        folder.mkdir()
        rows = [dataclasses.replace(row, footprint=counted) for row in rows]
        (folder / "r.json").write_text(json.dumps(result(*rows).to_dict()))
    assert "| x baseline | x stock |" in results_table_markdown(tmp_path / "with")
    assert "| 7.50 | 1.25 |" in results_table_markdown(tmp_path / "with")
    assert "x baseline" not in results_table_markdown(tmp_path / "without")


def old(body):
    """A result as version 1 wrote it."""
    new = {
        "conditions": ("rounds", "sizes"),
        "row": ("runtime", "baseline", "x_baseline", "x_stock"),
        "latency": ("round_medians_ms", "samples"),
    }
    for part, fields in new.items():
        parts = [body["conditions"]] if part == "conditions" else body["rows"]
        for item in parts if part != "latency" else [row["latency"] for row in parts]:
            for field in fields:
                del item[field]
    return {**body, "schema_version": 1}


def test_results_of_version_1_still_read(tmp_path):
    path = tmp_path / "old.json"
    plain = dataclasses.replace(ROWS[4], runtime=None)
    path.write_text(json.dumps(old(result(plain).to_dict())))
    found = read_result(path)
    assert found.schema_version == 5
    assert (found.conditions.rounds, found.conditions.sizes) == (1, ())
    stripped = dataclasses.replace(plain.latency, round_medians_ms=(), samples=None)
    assert found.rows == (dataclasses.replace(plain, latency=stripped),)


def test_results_of_a_later_version_do_not(tmp_path):
    path = tmp_path / "new.json"
    path.write_text(json.dumps({**result(ROWS[4]).to_dict(), "schema_version": 6}))
    with pytest.raises(ValueError, match="schema 6, this version reads 1, 2, 3, 4, 5"):
        read_result(path)


def test_the_packaged_results_read():
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert files
    assert all(read_result(file).rows for file in files)


def test_weights_of_another_type_do_not_hide_the_arithmetic():
    from edgedeblur.benchmarks.baselines.ratios import _runtime_and_arithmetic

    stock = Row(engine="stock", runtime="openvino", precision="bf16")
    ours = Row(engine="ours", runtime="openvino", precision="fp16 weights, bf16 arithmetic")
    other = Row(engine="x", runtime="openvino", precision="fp32")
    assert _runtime_and_arithmetic(stock) == _runtime_and_arithmetic(ours)
    assert _runtime_and_arithmetic(stock) != _runtime_and_arithmetic(other)
