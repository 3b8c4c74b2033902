from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import manifest_path, read_manifest, write_manifest
from edgedeblur.runtimes.files import sha256_of, size_of
from edgedeblur.runtimes.optional import MissingDependencyError
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_executorch.runner import text_of

from tests.contracts import RunnerContract, spec_for

pytestmark = pytest.mark.heavy


class TestExecutorch(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("executorch") / "net.pte"
        target = get_target("executorch-fp32")
        produce(target, checkpoint, spec_for(target), path, norm="frozen", threads=2)
        return path

    def test_arrays_that_cannot_be_written_are_taken_and_left_alone(self, runner, image):
        kept = image.copy()
        image.flags.writeable = False
        runner.infer(image)
        assert np.array_equal(image, kept)

    @pytest.mark.parametrize("threads", [1, 2])
    def test_threads_are_what_executorch_took(self, path, threads):
        with open_runner(path, threads=threads) as runner:
            from executorch.extension.pybindings import portable_lib

            assert runner.threads == portable_lib._threadpool_get_thread_count() == threads

    def test_nothing_is_printed(self, path, image, capfd):
        with open_runner(path) as runner:
            runner.infer(image)
        assert capfd.readouterr() == ("", "")

    def test_missing_package_says_what_to_install(self, path, monkeypatch):
        monkeypatch.setitem(sys.modules, "executorch.runtime", None)
        with pytest.raises(MissingDependencyError, match=r"'edgedeblur\[executorch\]'"):
            open_runner(path)

    def test_a_text_that_is_not_there(self, path):
        with pytest.raises(ValueError, match=r"net\.pte: holds no recipe"):
            text_of(path, "recipe")

    def test_another_file_is_an_error(self, path, tmp_path):
        broken = tmp_path / "net.pte"
        broken.write_bytes(b"none" * 100)
        manifest = dataclasses.replace(
            read_manifest(path), bytes=size_of(broken), sha256=sha256_of(broken)
        )
        write_manifest(manifest, manifest_path(broken))
        with pytest.raises(ValueError, match=r"net\.pte: ExecuTorch cannot load it"):
            open_runner(broken)

    def test_another_size_than_the_manifest_says_is_an_error(self, path, tmp_path):
        other = tmp_path / "net.pte"
        other.write_bytes(path.read_bytes())
        held = read_manifest(path)
        shape = (1, 3, 32, 96)
        tensors = {
            n: dataclasses.replace(getattr(held, n), shape=shape) for n in ("input", "output")
        }
        write_manifest(dataclasses.replace(held, **tensors), manifest_path(other))
        with pytest.raises(
            ValueError, match=r"\[1, 3, 64, 96\], its manifest says \[1, 3, 32, 96\]"
        ):
            open_runner(other)
