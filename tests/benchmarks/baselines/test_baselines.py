import shutil
import subprocess

import numpy as np
import pytest
from edgedeblur.benchmarks import bench
from edgedeblur.benchmarks.baselines import baselines
from edgedeblur.benchmarks.baselines import stock as stock_module
from edgedeblur.benchmarks.baselines.runners import BASELINE_RUNTIMES
from edgedeblur.benchmarks.baselines.stock import ORT, build_in_subprocess, routes
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.result import read_result
from edgedeblur.benchmarks.workers import worker
from edgedeblur.models.checkpoints.checkpoint import save_checkpoint
from edgedeblur.models.network.registry import build_generator
from edgedeblur.runtimes.artifact import manifest_path
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.registry import open_runner

from tests.released import expected

from ..support import SIZE, sharpening, write_artifact, write_pairs

QUICK = ("--runs", "2", "--warmup", "0", "--threads", "1", "--limit", "1")


def test_reference_mode_is_what_the_original_code_computes(released_h5):
    fixture = expected()
    with BASELINE_RUNTIMES["train-mode"].open(released_h5, threads=2, device="cpu") as runner:
        first, second = runner.infer(fixture["input"]), runner.infer(fixture["input"])
        assert (runner.manifest.norm, runner.precision) == ("live", "fp32")
        with pytest.raises(ValueError, match="1 picture"):
            runner.infer(np.concatenate([fixture["input"]] * 2))
    assert np.abs(first - fixture["output_batch_stats"]).max() <= 1e-5
    assert np.array_equal(first, second)  # nothing was updated
    assert np.abs(first - fixture["output_running_stats"]).max() > 1e-2


@pytest.fixture(scope="module")
def stock(released_h5, tmp_path_factory):
    path = tmp_path_factory.mktemp("stock") / "stock.onnx"
    return path, build_in_subprocess(released_h5, SIZE, path)


def test_stock_onnx_computes_what_pytorch_does_in_eval_mode(stock):
    path, ways = stock
    fixture = expected()
    assert ways == routes(path)
    assert ways[0] == ORT
    with open_runner(path, threads=2) as runner:
        output = runner.infer(fixture["input"])
        assert runner.precision == "fp32"
        assert (runner.manifest.norm, runner.manifest.trained_norm) == ("frozen", "live")
    assert np.abs(output - fixture["output_running_stats"]).max() <= 1e-4


@pytest.mark.parametrize(
    ("way", "precision", "far"), [("openvino-f32", "fp32", 1e-4), ("openvino-bf16", "bf16", 0.1)]
)
def test_stock_openvino_does_too(stock, way, precision, far):
    path, ways = stock
    if way not in ways:
        pytest.skip("needs openvino, and bf16 a CPU that has it")
    fixture = expected()
    with BASELINE_RUNTIMES[way].open(path, threads=1, device="cpu") as runner:
        output = runner.infer(fixture["input"])
        assert (runner.precision, runner.manifest.target) == (precision, f"stock-{way}")
    error = np.abs(output - fixture["output_running_stats"]).max()
    assert error <= far
    assert way == "openvino-f32" or error > 1e-4  # it really computes in fewer bits


def test_a_build_that_fails_says_why(tmp_path, monkeypatch, capsys):
    def run(command, **options):
        code = stock_module.main(command[4:])
        return subprocess.CompletedProcess(command, code, "", capsys.readouterr().err)

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "bad.pth").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"building stock onnx: .*bad\.pth: looks like text"):
        build_in_subprocess(tmp_path / "bad.pth", SIZE, tmp_path / "stock.onnx")


@pytest.fixture
def here(monkeypatch):
    """Jobs in this process: what they measure is not under test, and processes are slow."""
    run = lambda job, update=None: worker.measure(job)  # noqa: E731
    monkeypatch.setattr(bench, "run_job", run)


def test_baselines_of_an_artifact_share_its_size_weights_and_reference(
    tmp_path, released_h5, stock, here, monkeypatch
):
    def built(checkpoint, size, target):
        assert (checkpoint, size) == (released_h5, SIZE)
        shutil.copy(stock[0], target)
        shutil.copy(manifest_path(stock[0]), manifest_path(target))
        return stock[1][:1]  # the others differ in how they are opened, which is tested above

    monkeypatch.setattr(baselines, "build_in_subprocess", built)
    write_pairs(tmp_path / "data", 1)
    weights = (sha256_of(released_h5), "elsewhere.h5")
    ours = write_artifact(tmp_path / "a.onnx", sharpening(), checkpoint=weights)
    code = main([
        "--engine", str(ours), "--checkpoint", str(released_h5), "--baseline", "reference",
        "--baseline", "stock", "--rounds", "2", "--data", str(tmp_path / "data"),
        "--json", str(tmp_path / "r.json"), *QUICK,
    ])  # fmt: skip
    found = read_result(tmp_path / "r.json")
    assert code == 0
    assert found.conditions.rounds == 2
    rows = {row.engine: row for row in found.rows}
    stock_row = baselines.STOCK_ROWS[ORT]
    assert set(rows) == {
        "torch reference mode (baseline)", stock_row, "torch-fp32 (reference)", "a.onnx"
    }  # fmt: skip
    baseline, mine = rows["torch reference mode (baseline)"], rows["a.onnx"]
    assert (baseline.norm, baseline.baseline, baseline.x_baseline) == ("live", "reference", 1.0)
    assert baseline.quality.drift is None
    ratio = baseline.latency.infer.median_ms / mine.latency.infer.median_ms
    assert mine.x_baseline == pytest.approx(ratio)
    assert mine.x_stock > 1  # one convolution against a whole network
    assert all(row.latency.size == SIZE and row.latency.runs == 4 for row in found.rows)
    drift = rows[stock_row].quality.drift
    assert drift.reference == "torch-fp32 (reference)"
    assert drift.residual_snr_db > 60


def test_a_sweep_measures_every_size_and_plots_it(tmp_path, here, capsys):
    checkpoint = tmp_path / "random.safetensors"
    save_checkpoint(build_generator("mobilenet_dsc").eval(), checkpoint, norm="frozen")
    weights = (sha256_of(checkpoint), str(checkpoint))
    free = write_artifact(tmp_path / "free.onnx", sharpening(), size=None, checkpoint=weights)
    fixed = write_artifact(tmp_path / "fixed.onnx", sharpening(), checkpoint=weights)
    write_pairs(tmp_path / "data", 1)
    code = main([
        "--engine", str(free), "--engine", str(fixed), "--sizes", "64x96,96x128,64x96",
        "--baseline", "reference", "--data", str(tmp_path / "data"),
        "--report", str(tmp_path / "report"), *QUICK,
    ])  # fmt: skip
    assert code == 1
    assert "fixed.onnx: its size is fixed at 64x96" in capsys.readouterr().err
    found = read_result(tmp_path / "report" / "report.json")
    assert found.conditions.sizes == ((64, 96), (96, 128))
    measured = [(row.engine, row.latency.size) for row in found.rows if row.latency]
    names = ("torch reference mode (baseline)", "free.onnx")
    assert measured == [(name, size) for name in names for size in found.conditions.sizes]
    assert all(row.quality is None for row in found.rows)
    assert all(row.x_baseline > 0 for row in found.rows if row.latency)
    assert (tmp_path / "report" / "scaling.png").is_file()
    assert "![](scaling.png)" in (tmp_path / "report" / "report.md").read_text()
