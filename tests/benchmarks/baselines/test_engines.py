"""deblur-bench on artifacts that this machine cannot run, and PyTorch's variants for GPUs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from edgedeblur.benchmarks.baselines.runners import BASELINE_RUNTIMES
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.result import Conditions
from edgedeblur.benchmarks.timing.latency import LoadCost, measure_latency
from edgedeblur.benchmarks.timing.rounds import pool
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.runtimes.artifact import Parity, read_manifest, write_manifest
from edgedeblur.runtimes.compare import residual_snr_db
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run

from tests.contracts import pytorch
from tests.runtimes.run_tensorrt.fake_gpu import STEP_MS, FakeCuda, install, plan_bytes, saved_plan

PARITY = Parity(
    reference="PyTorch", pictures=4, picture_set="samples", psnr_db=70.25, worst_psnr_db=69.25,
    worst_picture="cat.png", ssim=1.0, max_abs=0.006, residual_snr_db=56.95,
    tolerance_psnr_db=50.0, ran_on="TypedGraphRunner", emulated=True,
    note="typed ONNX on onnxruntime; engine not run: no CUDA driver",
)  # fmt: skip


@pytest.fixture
def plan(tmp_path):
    path = saved_plan(tmp_path, plan_bytes())
    manifest = dataclasses.replace(read_manifest(path), parity=PARITY)
    write_manifest(manifest, path.with_name("net.plan.json"))
    return path


@pytest.mark.skipif(cannot_run() is None, reason="there is a GPU here")
class TestWithoutAGpu:
    def test_latency_fails_and_the_rest_is_reported(self, plan, capsys, tmp_path):
        out = tmp_path / "r.json"
        assert main(["--engine", str(plan), "--json", str(out)]) == 1
        told = capsys.readouterr()
        reason = cannot_run()
        assert f"latency needs a cuda device, and this machine has {reason}" in told.err
        assert "leave times out with --no-latency" in told.err
        body = json.loads(out.read_text())
        (row,) = body["rows"]  # and no PyTorch reference that nothing would be compared with
        assert row["latency"] is None
        assert row["footprint"]["bytes"] == plan.stat().st_size
        assert row["verified"] == (
            f"not run here: {reason}. Verified at export (typed ONNX on onnxruntime; engine not "
            "run: no CUDA driver): PSNR to PyTorch 70.25 dB, worst 69.25 dB, residual SNR 56.95 dB "
            "on 4 samples"
        )

    def test_without_latency_it_succeeds(self, plan, capsys):
        assert main(["--engine", str(plan), "--no-latency"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "residual SNR 56.95 dB on 4 samples" in told

    def test_an_altered_plan_is_still_refused(self, plan, capsys):
        plan.write_bytes(plan_bytes(rest=b"another"))
        assert main(["--engine", str(plan), "--no-latency"]) == 1
        assert "not the file its manifest describes" in capsys.readouterr().err


def test_gpu_time_is_kept_apart_and_pooled(plan, monkeypatch):
    install(monkeypatch, FakeCuda())
    conditions = Conditions((64, 96), "edge", "cuda", 1, runs=3, warmup=1)
    picture = np.zeros((64, 96, 3), np.uint8)
    with open_runner(plan) as runner:
        found = measure_latency(runner, picture, "black", conditions, LoadCost(0.0, 0.0, None))
    assert found.samples.gpu == (STEP_MS,) * 3  # neither the first run nor the warm-up
    assert found.gpu.median_ms == STEP_MS
    assert found.device_memory_bytes == 2 * 3 * 64 * 96 * 4
    both = pool([found, found])
    assert (both.gpu.median_ms, both.device_memory_bytes) == (STEP_MS, found.device_memory_bytes)


@pytest.mark.parametrize(("variant", "floor"), [("fp32", 100.0), ("fp16", 35.0)])
def test_pytorch_variants_compute_the_network(variant, floor, image):
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    baseline = BASELINE_RUNTIMES[f"cuda-{variant}"]
    with baseline.open(zoo_path("mobilenet_dsc"), threads=2, device="cpu") as runner:
        expected = pytorch(checkpoint, image, norm="frozen")
        assert residual_snr_db(runner.infer(image), expected, image) > floor
        assert runner.precision == {"fp32": "fp32", "fp16": "fp16 channels last"}[variant]
        assert runner.gpu_ms is None


def test_cuda_baseline_needs_the_device(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--engine", "x.onnx", "--baseline", "cuda"])
    assert ended.value.code == 2
    assert "add --device cuda" in capsys.readouterr().err
