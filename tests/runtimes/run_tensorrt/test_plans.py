from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.optional import MissingDependencyError, available
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run
from edgedeblur.runtimes.run_tensorrt.sdk import (
    PlanHeader,
    read_header,
    system_name,
    version_numbers,
)

from tests.runtimes.run_tensorrt.fake_gpu import (
    FakeCuda,
    install,
    pictures,
    plan_bytes,
    saved_plan,
)


@pytest.fixture
def plan(tmp_path):
    return saved_plan(tmp_path, plan_bytes())


class TestPlansFromElsewhere:
    def test_header(self, plan, tmp_path):
        assert read_header(plan) == PlanHeader("rtx", (1, 7, 1, 116))
        other = tmp_path / "other.plan"
        other.write_bytes(plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34)))
        assert str(read_header(other)) == "TensorRT 10.9.0.34"

    @pytest.mark.parametrize("data", [b"", b"vtrt", b"\x08\x07onnx" + bytes(100)])
    def test_no_plan(self, tmp_path, data):
        with pytest.raises(ValueError, match="not a TensorRT plan; export it again"):
            open_runner(saved_plan(tmp_path, data))

    def test_another_version(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        path = saved_plan(tmp_path, plan_bytes(version=(1, 5, 0, 3)))
        message = r"built by TensorRT for RTX 1\.5\.0\.3, installed is .* 1\.7\.1\.116; export it"
        with pytest.raises(ValueError, match=message):
            open_runner(path)

    def test_another_system(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        elsewhere = {"system": "Linux aarch64"}
        theirs = plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34))
        path = saved_plan(tmp_path, theirs, engine=elsewhere)
        if system_name() == "Linux aarch64":
            pytest.skip("this is the system in question")
        with pytest.raises(ValueError, match="built for Linux aarch64, this is"):
            open_runner(path)

    def test_rtx_plans_travel_between_systems(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        with open_runner(
            saved_plan(tmp_path, plan_bytes(), engine={"system": "Windows AMD64"})
        ) as runner:
            image = pictures(1)[0]
            assert np.array_equal(runner.infer(image), image / 2)

    @pytest.mark.skipif(available("tensorrt"), reason="TensorRT is installed here")
    def test_sdk_not_installed(self, tmp_path):
        path = saved_plan(tmp_path, plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34)))
        with pytest.raises(MissingDependencyError, match=r"edgedeblur\[tensorrt\].*JetPack"):
            open_runner(path)

    @pytest.mark.skipif(cannot_run("rtx") is None, reason="there is a GPU here")
    @pytest.mark.skipif(not available("tensorrt_rtx"), reason="tensorrt_rtx is not installed")
    def test_no_gpu(self, tmp_path):
        import tensorrt_rtx

        path = saved_plan(tmp_path, plan_bytes(version=version_numbers(tensorrt_rtx)))
        with pytest.raises(MissingDependencyError, match=r"NVIDIA GPU|cuda-python"):
            open_runner(path)


def test_the_manifest_keeps_the_engine_system(plan):
    assert read_manifest(plan).engine == {"system": system_name()}
