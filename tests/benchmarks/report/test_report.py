import dataclasses
import io
import json

import numpy as np
import pytest
from edgedeblur.benchmarks.quality.scores import Quality
from edgedeblur.benchmarks.report.columns import columns_in_use, quality_columns
from edgedeblur.benchmarks.report.formats.markdown import markdown_table
from edgedeblur.benchmarks.report.formats.table import print_tables
from edgedeblur.benchmarks.report.number_format import decibels, signed
from edgedeblur.benchmarks.report.pictures import amplified_difference, slug
from edgedeblur.benchmarks.report.readme import format_markdown, results_table_markdown
from edgedeblur.benchmarks.result import BenchResult, DataSet, Environment, Footprint, Row

from ..support import conditions


def result(*rows):
    return BenchResult(
        conditions(),
        DataSet("samples", "flat:blurry/sharp", "all", 2, "ab" * 32),
        Environment("A CPU", 4, 2, None, "Linux", "3.11", None, {"torch": "2.9"}),
        rows,
        "2026-01-02",
    )


ROW = Row(
    "a[1].onnx",
    norm="frozen",
    footprint=Footprint(1 << 20, 1_000_000, (64, 96), 10**9, 2 * 10**9, 10**9, None, "graph"),
    quality=Quality(2, 30.0, 0.9, 25.0, 0.8, None, ()),
)


def printed(value):
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    print_tables(value, console)
    return console.export_text()


def test_tables_name_units_machine_and_data():
    text = printed(result(ROW))
    for part in ("a[1].onnx", "GMACs conv", "1.00", "(blurry pictures)", "25.00", "A CPU",
                 "1 threads", "protocol edge", "samples", "abababababab"):  # fmt: skip
        assert part in text
    assert "load ms" not in text  # nobody measured it


def test_nothing_measured_prints_no_table():
    assert printed(result(Row("a", error="no"))) == ""


def test_numbers_are_written_plainly():
    assert decibels(float("inf")) == "identical"
    assert signed(-0.00004, 3) == "+0.000"
    assert signed(-0.0004, 3) == "+0.000"
    assert signed(-0.004, 3) == "-0.004"


def test_empty_columns_are_dropped():
    headings = [column.heading for column in columns_in_use(quality_columns(), [ROW])]
    assert headings == ["engine", "PSNR dB", "SSIM"]
    assert "a\\|b" in markdown_table(quality_columns(), [dataclasses.replace(ROW, engine="a|b")])


def test_difference_is_amplified_and_saturates():
    first = np.array([[[0, 10, 200]]], np.uint8)
    second = np.array([[[3, 10, 100]]], np.uint8)
    assert amplified_difference(first, second, 8).tolist() == [[[24, 0, 255]]]


def test_slugs_are_file_names():
    assert slug("GOPR0384_11_00/000001") == "GOPR0384_11_00-000001"
    assert slug("../..") == "unnamed"


def test_failed_rows_are_not_published(tmp_path):
    body = result(ROW, Row("b", error="b: no")).to_dict()
    (tmp_path / "r.json").write_text(json.dumps(body))
    with pytest.raises(ValueError, match="b failed in this result"):
        results_table_markdown(tmp_path)


def write(path, *rows, day="2026-01-02"):
    path.write_text(json.dumps({**result(*rows).to_dict(), "measured_on": day}))


def test_a_formats_rows_of_all_networks_are_in_one_table_for_each_day(tmp_path):
    one = dataclasses.replace(ROW, engine="one.pte", target="executorch-fp32")
    two = dataclasses.replace(ROW, engine="two.ncnn", target="ncnn-int8")
    other = dataclasses.replace(ROW, engine="other.onnx", target="onnx-fp32")
    write(tmp_path / "a.json", ROW, one, other)
    write(tmp_path / "b.json", two)
    text = format_markdown(tmp_path, ("executorch", "ncnn"))
    engines = [line.split()[1] for line in text.splitlines() if line.startswith("| ")]
    assert engines == ["engine", "one.pte", "two.ncnn"]
    assert text.count("2026-01-02.") == 1
    write(tmp_path / "b.json", two, day="2026-01-03")
    assert format_markdown(tmp_path, ("ncnn",)).count("2026-01-03.") == 1
    assert "two.ncnn" in format_markdown(tmp_path, ("executorch", "ncnn")).split("2026-01-03.")[1]


def test_what_could_not_run_is_told_below_its_table(tmp_path):
    plan = dataclasses.replace(
        ROW, engine="net.plan", target="trt-int8", quality=None, verified="not run here: no driver"
    )
    write(tmp_path / "elsewhere_net.json", plan)
    told = "- `net.plan`: not run here: no driver."
    assert told in format_markdown(tmp_path, ("trt",)).splitlines()
    assert told in results_table_markdown(tmp_path).splitlines()
