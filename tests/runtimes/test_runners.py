from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.optional import MissingDependencyError, require
from edgedeblur.runtimes.registry import open_runner, runtime, runtime_for, runtimes
from edgedeblur.runtimes.run_torch import open_reference

from tests.contracts import SIZE, RunnerContract, copied
from tests.released import expected


class TestTorchOnOurCheckpoint(RunnerContract):
    has_manifest_file = False

    @pytest.fixture
    def path(self):
        return zoo_path("mobilenet_dsc")

    @pytest.fixture
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")


class TestTorchOnAReleasedCheckpoint(RunnerContract):
    has_manifest_file = False

    @pytest.fixture
    def path(self, released_h5):
        return released_h5

    @pytest.fixture
    def checkpoint(self, released_h5):
        return load_checkpoint(str(released_h5))


class TestOnnxRuntime(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("ort") / "net.onnx"
        spec = ExportSpec("onnx-fp32", SIZE)
        produce(get_target("onnx-fp32"), checkpoint, spec, path, norm="frozen", threads=2)
        return path

    def test_fixed_size_is_enforced(self, runner, image):
        with pytest.raises(ValueError, match=r"takes 64x96 \(HxW\), not 64x64"):
            runner.infer(np.ascontiguousarray(image[..., :64]))

    @pytest.mark.parametrize(("free", "planned"), [(False, True), (True, False)])
    def test_a_free_size_plans_no_memory(self, path, free, planned, monkeypatch):
        import onnxruntime
        from edgedeblur.runtimes.artifact import read_manifest
        from edgedeblur.runtimes.run_ort import OrtRunner

        seen = []
        session = onnxruntime.InferenceSession
        monkeypatch.setattr(
            onnxruntime,
            "InferenceSession",
            lambda file, options, **more: seen.append(options) or session(file, options, **more),
        )
        manifest = read_manifest(path)
        if free:
            spec = dataclasses.replace(manifest.input, shape=(1, 3, "height", "width"))
            manifest = dataclasses.replace(manifest, input=spec)
        OrtRunner(path, manifest, threads=1, device="cpu").close()
        assert [options.enable_mem_pattern for options in seen] == [planned]

    def test_damaged_file_is_an_error_of_ours(self, path, tmp_path):
        from edgedeblur.runtimes.artifact import manifest_path, read_manifest
        from edgedeblur.runtimes.run_ort import OrtRunner

        manifest = read_manifest(path)
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(path.read_bytes()[: manifest.bytes // 2])
        manifest_path(broken).write_text(manifest_path(path).read_text())
        with pytest.raises(ValueError, match="onnxruntime cannot load it"):
            OrtRunner(broken, manifest, threads=1, device="cpu")

    def test_cuda_without_a_provider_says_what_to_install(self, path):
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this machine has the CUDA provider")
        with pytest.raises(MissingDependencyError, match=r"edgedeblur\[onnxruntime-gpu\]"):
            open_runner(path, device="cuda")


@pytest.mark.parametrize(
    ("norm", "output"), [("frozen", "output_running_stats"), ("live", "output_batch_stats")]
)
def test_reference_runner_meets_the_recorded_network(released_h5, norm, output):
    recorded = expected()
    with open_reference(released_h5, norm=norm, size=SIZE) as runner:
        assert np.abs(runner.infer(recorded["input"]) - recorded[output]).max() <= 1e-5


def test_torch_runner_without_cuda_says_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(MissingDependencyError, match="sees no CUDA device"):
        open_runner(zoo_path("mobilenet_dsc"), device="cuda")


def test_unknown_suffix_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match=r"ending in '\.pb'; known endings: \.engine, \.h5"):
        runtime_for(tmp_path / "model.pb")


def test_a_runtime_cannot_be_registered_twice():
    runtimes()
    with pytest.raises(ValueError, match="registered twice"):
        runtime("another", formats=(".onnx",), module="x", extra="x")(Runner)


def test_require_names_module_and_remedy():
    with pytest.raises(MissingDependencyError, match=r"nothing_here .*'edgedeblur\[onnx\]'"):
        require("nothing_here", extra="onnx")
    with pytest.raises(MissingDependencyError, match=r"pip install edgedeblur$"):
        require("nothing_here")


class TestOpenvino(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("openvino") / "net.openvino"
        spec = ExportSpec("openvino-fp32", SIZE)
        produce(get_target("openvino-fp32"), checkpoint, spec, path, norm="frozen", threads=2)
        return path

    def test_damaged_folder_is_an_error_of_ours(self, path, tmp_path):
        from edgedeblur.runtimes.artifact import read_manifest
        from edgedeblur.runtimes.run_openvino import OpenvinoRunner

        broken = copied(path, tmp_path)
        (broken / "model.xml").write_text("<net/>")
        with pytest.raises(ValueError, match="openvino cannot load it"):
            OpenvinoRunner(broken, read_manifest(path), threads=1, device="cpu")
