"""Phone results: the stored file is what the Kotlin test writes, letter by letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.phone import read_phone_results
from edgedeblur.benchmarks.result import read_result

STORED = Path(__file__).parent.parent / "golden" / "phone.json"


def changed(tmp_path: Path, **fields: object) -> Path:
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({**json.loads(STORED.read_text("utf-8")), **fields}), "utf-8")
    return path


def test_numbers_are_the_phones() -> None:
    result = read_phone_results([STORED])
    (row,) = result.rows
    assert row.error is None
    assert row.engine == "phone.tflite on Pixel 9, CPU (XNNPACK), 4 threads"
    assert (row.precision, row.norm, row.backbone) == ("int8", "frozen", "mobilenet_dsc")
    assert row.latency is not None
    # 10, 11, 12, 13, twice, and a clock that moves half a microsecond when it is read.
    assert row.latency.infer.median_ms == pytest.approx(11.5, abs=0.001)
    assert row.latency.infer.p5_ms == pytest.approx(10.0, abs=0.001)
    assert row.latency.infer.p95_ms == pytest.approx(13.0, abs=0.001)
    assert row.latency.load_ms == pytest.approx(250.0, abs=0.001)
    assert (row.latency.runs, row.latency.warmup, row.latency.size) == (8, 3, (32, 64))
    assert row.footprint is not None
    assert (row.footprint.macs, row.footprint.flops) == (62645376, 125290752)
    assert row.phone is not None
    assert row.phone.parity is not None
    parity = json.loads((STORED.parent / "parity.json").read_text("utf-8"))
    assert row.phone.parity.psnr_db == pytest.approx(parity["psnr_db"], abs=1e-6)
    assert row.phone.parity.max_abs == pytest.approx(parity["max_abs"], abs=1e-6)
    assert row.phone.parity.residual_snr_db == pytest.approx(parity["residual_snr_db"], abs=1e-6)
    assert [sample.thermal_status for sample in row.phone.sustained] == [0, 1, 2]
    assert result.environment.cpu == "Google Pixel 9 (Google Tensor G4, arm64-v8a)"
    assert result.environment.memory_bytes == 12_000_000_000


def test_command_gives_the_same_table_report_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, kept = tmp_path / "report", tmp_path / "result.json"
    arguments = ["--import", str(STORED), "--report", str(report), "--json", str(kept)]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    text = (report / "report.md").read_text("utf-8")
    for shown in (printed, text):
        assert "Pixel 9" in shown
    assert "11.5 [10.0, 13.0]" in text
    assert "## On the phone" in text
    assert "| moderate |" in text
    assert "Ran on the CPU with XNNPACK, 4 threads. GPU not asked for." in text
    assert "| 45.79 |" in text  # PSNR to PyTorch of the golden picture
    again = read_result(kept)
    assert again == read_phone_results([STORED])


def test_equal_pictures_are_infinite_and_written_as_null(tmp_path: Path) -> None:
    same = {"psnr_db": None, "max_abs": 0.0, "residual_snr_db": None}
    (row,) = read_phone_results([changed(tmp_path, parity=same)]).rows
    assert row.phone is not None
    assert row.phone.parity is not None
    assert row.phone.parity.psnr_db == float("inf")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": "other"}, "not a result of the Android app"),
        ({"schema_version": 2}, "phone schema 2, this version reads 1"),
        ({"infer_ms": []}, "measurements are missing"),
        ({"infer_ms": [1.0, -2.0]}, "measurements are missing or out of range"),
        ({"threads": "4"}, "does not have this version's fields"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"manifest": {}}, "manifest schema None"),
    ],
)
def test_what_is_no_result_gets_one_line(
    fields: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(tmp_path, **fields)
    assert main(["--import", str(path)]) == 1
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "changed.json" in error


def test_an_edited_manifest_and_another_phone_are_refused(tmp_path: Path) -> None:
    body = json.loads(STORED.read_text("utf-8"))
    edited = changed(tmp_path, manifest={**body["manifest"], "params": 1})
    with pytest.raises(ValueError, match="altered after export"):
        read_phone_results([edited])
    other = changed(tmp_path, device={**body["device"], "model": "Pixel 8"})
    with pytest.raises(ValueError, match="import them separately"):
        read_phone_results([STORED, other])


def test_no_json_and_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.json"
    path.write_text(STORED.read_text("utf-8")[:100], "utf-8")
    assert main(["--import", str(path)]) == 1
    assert main(["--import", str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err


def test_measuring_and_importing_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--import", str(STORED), "--engine", "a.onnx"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "--import" in capsys.readouterr().err
