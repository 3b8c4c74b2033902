import json
import subprocess
import sys

import pytest
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.report.readme import results_table_markdown
from edgedeblur.benchmarks.result import read_result
from edgedeblur.runtimes.files import sha256_of

from .support import sharpening, write_artifact, write_pairs

QUICK = ("--runs", "2", "--warmup", "0", "--threads", "1", "--size", "64x96")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from edgedeblur.benchmarks.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'cv2', 'rich', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--engine" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--engine", "a.onnx", "--runs", "0"],
        ["--engine", "a.onnx", "--warmup", "-1"],
        ["--engine", "a.onnx", "--limit", "0"],
        ["--engine", "a.onnx", "--size", "720"],
        ["--engine", "a.onnx", "--size", "736"],
        ["--engine", "a.onnx", "--size", "0x32"],
        ["--engine", "a.onnx", "--protocol", "mine"],
        ["--engine", "a.onnx", "--rounds", "0"],
        ["--engine", "a.onnx", "--baseline", "mine"],
        ["--engine", "a.onnx", "--sizes", "64x96,65"],
        ["--engine", "a.onnx", "--sizes", "64x96", "--size", "64x96"],
        ["--engine", "a.onnx", "--sizes", "64x96", "--no-latency"],
    ],
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "8224x64"], "--size: 8224x64: sides go from 1 to 8192 pixels"),
        (["--size", "64x999999999"], "--size: 64x999999999: sides go from 1 to 8192 pixels"),
        (["--size", "64x9999999999"], "'64x9999999999' is not HxW"),
        (["--sizes", "64x96,64x8224"], "--sizes: 64x8224: sides go from 1 to 8192 pixels"),
        (["--size", "0x32"], "sides go from 1 to 8192 pixels"),
        (["--runs", "0"], "--runs: must be 1 or more, not 0"),
        (["--rounds", "0"], "--rounds: must be 1 or more, not 0"),
        (["--threads", "0"], "--threads: must be 1 or more, not 0"),
        (["--threads", "two"], "--threads: 'two' is not a whole number"),
    ],
)
def test_numbers_out_of_their_bounds_exit_with_2_and_the_bounds(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--engine", "a.onnx", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_largest_size_is_what_can_be_exported():
    from edgedeblur.benchmarks.cli import build_parser
    from edgedeblur.export.arguments import build_parser as export_parser

    bench = build_parser().parse_args(["--engine", "a.onnx", "--size", "8192x8192"])
    assert bench.size == (8192, 8192)
    assert export_parser().parse_args(["--size", "8192x8192"]).size == [bench.size]


def test_no_pairs_is_one_line_and_exit_1(tmp_path, capsys):
    assert main(["--engine", "a.onnx", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("deblur-bench: error: ")


def test_existing_outputs_are_refused_before_measuring(tmp_path, capsys):
    taken = tmp_path / "r.json"
    taken.write_text("mine")
    assert main(["--engine", "none.onnx", "--json", str(taken)]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["--engine", "none.onnx", "--report", str(tmp_path)]) == 1
    assert "--force" in capsys.readouterr().err
    assert taken.read_text() == "mine"


def test_a_missing_engine_is_reported_and_the_rest_measured(tmp_path, capsys):
    write_pairs(tmp_path / "data", 1)
    good = write_artifact(tmp_path / "good.onnx", sharpening())
    code = main([
        "--engine", str(tmp_path / "none.onnx"), "--engine", str(good),
        "--data", str(tmp_path / "data"), "--no-quality", "--json", *QUICK,
    ])  # fmt: skip
    printed = capsys.readouterr()
    assert code == 1
    assert "none.onnx: no such file" in printed.err
    rows = {row["engine"]: row for row in json.loads(printed.out)["rows"]}
    assert rows["none.onnx"]["latency"] is None
    assert rows["good.onnx"]["latency"]["infer"]["median_ms"] > 0
    assert rows["good.onnx"]["error"] is None


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """An artifact that changes nothing, measured against a true generator of random weights."""
    import numpy as np
    import torch
    from edgedeblur.models.checkpoints.checkpoint import save_checkpoint
    from edgedeblur.models.network.registry import build_generator

    folder = tmp_path_factory.mktemp("bench")
    torch.manual_seed(0)
    checkpoint = folder / "random.safetensors"
    save_checkpoint(build_generator("mobilenet_dsc").eval(), checkpoint, norm="frozen")
    nothing = write_artifact(
        folder / "nothing.onnx",
        np.zeros((3, 3, 3, 3)),
        checkpoint=(sha256_of(checkpoint), "elsewhere.safetensors"),
    )
    write_pairs(folder / "data", 2, (60, 90))
    code = main([
        "--engine", str(nothing), "--checkpoint", str(checkpoint), "--data", str(folder / "data"),
        "--json", str(folder / "results" / "r.json"), "--report", str(folder / "report"), *QUICK,
    ])  # fmt: skip
    return folder, code


def test_an_artifact_that_does_nothing_has_0_db_residual_snr(reported):
    folder, code = reported
    assert code == 0
    result = read_result(folder / "results" / "r.json")
    reference, row = result.rows
    assert reference.engine == "torch-fp32 (reference)"
    assert reference.is_reference
    assert reference.latency is not None
    assert reference.quality.drift is None
    assert reference.footprint.macs_paper > reference.footprint.macs
    # Its noise is the whole residual it lacks; its pictures are the blurry ones.
    drift = row.quality.drift
    assert drift.residual_snr_db == pytest.approx(0.0, abs=1e-6)
    assert drift.reference == reference.engine
    assert row.quality.psnr_db == row.quality.blurry_psnr_db == reference.quality.blurry_psnr_db
    assert drift.delta_psnr_db == pytest.approx(row.quality.psnr_db - reference.quality.psnr_db)
    assert row.checkpoint_sha256 == reference.checkpoint_sha256 == reference.sha256
    assert result.data.name == "data"
    assert str(folder) not in (folder / "results" / "r.json").read_text()


def test_report_holds_tables_json_and_pictures(reported):
    folder, _ = reported
    report = folder / "report"
    text = (report / "report.md").read_text()
    assert "torch-fp32 (reference)" in text
    assert "SSIM (Wang 2004" in text
    assert "residual SNR dB" in text
    assert read_result(report / "report.json").rows == read_result(
        folder / "results" / "r.json"
    ).rows  # fmt: skip
    linked = [part.split(")")[0] for part in text.split("![](")[1:]]
    assert len(linked) in (8, 12, 16)  # two rows, four each; the first may also be the worst
    assert all((report / link).is_file() for link in linked)
    assert any("difference_to_torch_x8" in link for link in linked)


def test_readme_table_comes_from_the_result_files(reported, tmp_path):
    folder, _ = reported
    text = results_table_markdown(folder / "results")
    assert "| nothing.onnx | frozen | 64x96 |" in text
    assert "1 threads, cpu" in text
    assert "data (flat:blurry/sharp, all): 2 pairs" in text
    with pytest.raises(FileNotFoundError, match="no results"):
        results_table_markdown(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="schema None"):
        results_table_markdown(tmp_path)
