from __future__ import annotations

import sys

import numpy as np
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import manifest_path, read_manifest, write_manifest
from edgedeblur.runtimes.files import sha256_of, size_of
from edgedeblur.runtimes.optional import MissingDependencyError
from edgedeblur.runtimes.registry import open_runner

from tests.contracts import SIZE, RunnerContract, copied


class TestNcnn(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("ncnn") / "net.ncnn"
        spec = ExportSpec("ncnn-fp32", SIZE)
        produce(get_target("ncnn-fp32"), checkpoint, spec, path, norm="frozen", threads=2)
        return path

    def test_the_callers_array_is_left_alone(self, runner, image):
        kept = image.copy()
        runner.infer(image)
        assert np.array_equal(image, kept)

    def test_missing_package_says_what_to_install(self, path, monkeypatch):
        monkeypatch.setitem(sys.modules, "ncnn", None)
        with pytest.raises(MissingDependencyError, match=r"'edgedeblur\[ncnn\]'"):
            open_runner(path)

    @pytest.mark.parametrize(
        ("name", "spoil", "message"),
        [
            ("model.param", lambda data: data[20:], r"model\.param: ncnn cannot load it"),
            ("model.bin", lambda data: data[:100], r"model\.bin: ncnn cannot load it"),
            (
                "model.param",
                lambda data: data.replace(b"deblurred", b"sharpened"),
                r"\['image'\], \['sharpened'\]; its manifest says \['image'\], \['deblurred'\]",
            ),
        ],
    )
    def test_a_broken_folder_is_an_error(self, path, tmp_path, name, spoil, message):
        import dataclasses

        broken = copied(path, tmp_path)
        (broken / name).write_bytes(spoil((broken / name).read_bytes()))
        manifest = dataclasses.replace(
            read_manifest(path), bytes=size_of(broken), sha256=sha256_of(broken)
        )
        write_manifest(manifest, manifest_path(broken))
        with pytest.raises(ValueError, match=message):
            open_runner(broken)
