"""Results of the web page: the stored file is what its JavaScript test writes, letter by letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgedeblur.benchmarks.browser import read_browser_results
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.report.html.cli import read_files
from edgedeblur.benchmarks.result import read_result

STORED = Path(__file__).parent.parent / "golden" / "browser.json"


def changed(tmp_path: Path, name: str = "changed.json", **fields: object) -> Path:
    path = tmp_path / name
    path.write_text(json.dumps({**json.loads(STORED.read_text("utf-8")), **fields}), "utf-8")
    return path


def test_numbers_are_the_pages() -> None:
    result = read_browser_results([STORED])
    (row,) = result.rows
    assert row.engine == "browser.onnx in the browser, WebAssembly, 4 threads"
    assert (row.precision, row.norm, row.backbone) == ("int8", "frozen", "mobilenet_dsc")
    assert row.runtime == "onnxruntime-web"
    assert row.latency is not None
    # 10, 11, 12, 13 in turn, the first four before these; a reading of the clock takes 0.5 ms.
    assert row.latency.infer.median_ms == pytest.approx(11.5)
    assert row.latency.infer_runs_ms == (10.5, 11.5, 12.5, 13.5, 10.5, 11.5, 12.5, 13.5, 10.5, 11.5)
    assert row.latency.first_ms == 10.5
    # Ten whole runs, from 12 on, with two more readings: before the network and after it.
    assert row.latency.end_to_end.median_ms == pytest.approx(13.5)
    assert (row.latency.pre.median_ms, row.latency.post.median_ms) == (0.5, 0.5)
    assert (row.latency.runs, row.latency.warmup, row.latency.size) == (10, 3, (32, 64))
    assert row.latency.load_ms == 250.0
    assert row.footprint is not None
    assert (row.footprint.macs, row.footprint.flops) == (62645376, 125290752)
    assert row.phone is None
    assert result.environment.packages == {"onnxruntime-web": "1.30.0", "edgedeblur": "0.2.0"}
    assert (result.environment.cores, result.environment.os) == (8, "Mozilla/5.0 (a test)")


def test_command_gives_the_same_table_report_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, kept = tmp_path / "report", tmp_path / "result.json"
    arguments = ["--import", str(STORED), "--report", str(report), "--json", str(kept)]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    text = (report / "report.md").read_text("utf-8")
    for shown in (printed, text):
        assert "Mozilla/5.0 (a test)" in shown
        assert "onnxruntime-web 1.30.0" in shown
        assert "WebGPU finds no graphics processor on this machine." in shown
        assert "phone" not in shown
    assert "11.5 [10.5, 13.5]" in text
    assert read_result(kept) == read_browser_results([STORED])
    (source,), _ = read_files([STORED])  # as deblur-report reads it
    assert source.result == read_browser_results([STORED])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 2}, "browser schema 2, this version reads 1"),
        ({"infer_ms": []}, "measurements are missing"),
        ({"pre_ms": [1.0, -2.0]}, "measurements are missing or out of range"),
        ({"threads": "4"}, "does not have this version's fields"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"manifest": {}}, "manifest schema None"),
    ],
)
def test_what_is_no_result_gets_one_line(
    fields: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--import", str(changed(tmp_path, **fields))]) == 1
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "changed.json" in error


def test_another_browser_is_refused_and_a_second_backend_is_not(tmp_path: Path) -> None:
    browser = json.loads(STORED.read_text("utf-8"))["browser"]
    other = changed(tmp_path, browser={**browser, "cores": 4})
    with pytest.raises(ValueError, match="import them separately"):
        read_browser_results([STORED, other])
    gpu = changed(tmp_path, "gpu.json", backend="webgpu", browser={**browser, "gpu": "a maker"})
    result = read_browser_results([STORED, gpu])
    assert [row.engine.rpartition(", ")[2] for row in result.rows] == ["4 threads", "WebGPU"]
    assert result.environment.gpu == "a maker"


def test_both_runtimes_stand_in_one_table(tmp_path: Path) -> None:
    body = json.loads(STORED.read_text("utf-8"))
    del body["onnxruntime_web"]
    other = tmp_path / "litert.json"
    other.write_text(json.dumps({**body, "litert_js": "2.5.3"}), "utf-8")
    result = read_browser_results([STORED, other])
    assert [row.runtime for row in result.rows] == ["onnxruntime-web", "LiteRT.js"]
    assert result.environment.packages == {
        "onnxruntime-web": "1.30.0", "LiteRT.js": "2.5.3", "edgedeblur": "0.2.0",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"new.json: measured with another onnxruntime-web than"):
        read_browser_results([STORED, changed(tmp_path, "new.json", onnxruntime_web="1.31.0")])
    for versions, named in (({}, 0), ({"litert_js": "2.5.3", "onnxruntime_web": "1.30.0"}, 2)):
        other.write_text(json.dumps({**body, **versions}), "utf-8")
        with pytest.raises(ValueError, match=f"names {named} runtimes; measure again"):
            read_browser_results([other])


def test_phones_and_browsers_do_not_mix(tmp_path: Path) -> None:
    phone = STORED.with_name("phone.json")
    for files in ([STORED, phone], [phone, STORED]):
        assert main([word for file in files for word in ("--import", str(file))]) == 1
