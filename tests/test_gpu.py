"""What needs an NVIDIA GPU: `make test-gpu`. Without one these fail, and say why."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from edgedeblur.benchmarks.baselines.runners import BASELINE_RUNTIMES
from edgedeblur.benchmarks.baselines.torch_cuda import VARIANTS
from edgedeblur.benchmarks.cli import main
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.runtimes.compare import residual_snr_db
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run

from tests.contracts import RunnerContract, pytorch, spec_for

pytestmark = pytest.mark.gpu
# Residual SNR against PyTorch fp32 that each precision must reach, dB; half floats reach 50 when
# every result is rounded (`export.to_onnx.float16`), int8 22 and more.
FLOORS = {"fp32": 80.0, "fp16": 40.0, "int8": 18.0}


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    reason = cannot_run()
    if reason is not None:
        pytest.fail(f"no engine can run here: {reason}", pytrace=False)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.fixture(scope="module", params=FLOORS)
def built(request, checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "net.plan"
    target = get_target(f"trt-{request.param}")
    manifest = produce(target, checkpoint, spec_for(target), path, norm="frozen")
    return path, manifest, request.param


def test_engine_equals_pytorch(built, checkpoint, image):
    path, manifest, precision = built
    assert not manifest.parity.emulated  # the engine itself was compared at export
    with open_runner(path) as runner:
        for picture in (image, np.ascontiguousarray(image[..., ::-1])):
            for _ in range(3):  # directly, then recorded, then replayed
                answer = runner.infer(picture)
                expected = pytorch(checkpoint, picture)
                assert residual_snr_db(answer, expected, picture) > FLOORS[precision]
        assert runner.gpu_ms > 0
        assert runner.device_memory_bytes > 0
        assert "CUDA graph" in runner.describe()
        assert "no CUDA graph" not in runner.describe()


def test_many_equal_one_by_one(built, image):
    path, _, _ = built
    rng = np.random.default_rng(0)
    pictures = [rng.uniform(-1, 1, image.shape).astype(np.float32) for _ in range(5)]
    with open_runner(path) as runner:
        single = [runner.infer(picture).copy() for picture in pictures]
        for one, other in zip(single, runner.infer_many(pictures), strict=True):
            assert np.array_equal(one, other)


def test_free_size(checkpoint, tmp_path, photo):
    target = get_target("trt-fp16")
    path = tmp_path / "free.plan"
    produce(target, checkpoint, spec_for(target, dynamic=True), path, norm="frozen")
    with open_runner(path) as runner:
        for height, width in ((32, 32), (64, 96), (32, 96)):
            corner = photo[:height, :width].transpose(2, 0, 1)[None]
            x = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
            assert residual_snr_db(runner.infer(x), pytorch(checkpoint, x), x) > FLOORS["fp16"]
        with pytest.raises(ValueError, match="export it with another --profile"):
            runner.infer(np.zeros((1, 3, 96, 128), np.float32))


class TestFp32Contract(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("contract") / "net.plan"
        target = get_target("trt-fp32")
        produce(target, checkpoint, spec_for(target), path, norm="frozen")
        return path

    def test_says_what_it_runs_on(self, runner):
        assert "compute capability" in runner.describe()


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytorch_variants(variant, checkpoint, image):
    baseline = BASELINE_RUNTIMES[f"cuda-{variant}"]
    expected = pytorch(checkpoint, image, norm="frozen")
    floor = FLOORS["fp32" if variant == "fp32" else "fp16"]
    with baseline.open(zoo_path("mobilenet_dsc"), threads=2, device="cuda") as runner:
        for picture, wanted in ((image, expected),) * 3:
            assert residual_snr_db(runner.infer(picture), wanted, picture) > floor
        other = np.ascontiguousarray(image[..., ::-1])  # a graph must not replay the old picture
        wanted = pytorch(checkpoint, other, norm="frozen")
        assert residual_snr_db(runner.infer(other), wanted, other) > floor
        assert runner.gpu_ms > 0


def test_bench_tells_gpu_time_and_memory(built, tmp_path):
    path, _, _ = built
    out = tmp_path / "r.json"
    assert main(["--engine", str(path), "--no-quality", "--runs", "3", "--json", str(out)]) == 0
    row = json.loads(out.read_text())["rows"][0]
    assert 0 < row["latency"]["gpu"]["median_ms"] < row["latency"]["infer"]["median_ms"]
    assert row["latency"]["device_memory_bytes"] > 0


def test_layer_information(checkpoint, tmp_path):
    target = get_target("trt-fp16")
    spec = spec_for(target)
    layers = tmp_path / "layers.json"
    spec = dataclasses.replace(spec, options={**spec.options, "layer_info": layers})
    produce(target, checkpoint, spec, tmp_path / "net.plan", norm="frozen")
    assert json.loads(layers.read_text())
