from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.to_tflite import operators as tflite_graph
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import TensorSpec
from edgedeblur.runtimes.io_format import from_io_format, to_io_format
from edgedeblur.runtimes.optional import MissingDependencyError
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tflite import runner as run_tflite

from tests import converted
from tests.contracts import SIZE, RunnerContract

pytest.importorskip("litert_torch", reason="litert-torch is not installed: pip install '.[tflite]'")


def build(folder, io):
    target = get_target("tflite-fp32")
    path = folder / f"{io}.tflite"
    spec = ExportSpec(target.name, SIZE, options={"io": io, "require_delegate": None})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite_graph, "to_operators", converted.to_operators)
        produce(target, load_checkpoint("zoo:mobilenet_dsc"), spec, path, norm="frozen", threads=2)
    return path


class TestTflite(RunnerContract):
    @pytest.fixture(scope="class")
    def checkpoint(self):
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def path(self, tmp_path_factory):
        return build(tmp_path_factory.mktemp("litert"), "tensor")

    def test_damaged_file_is_an_error_of_ours(self, path, tmp_path):
        runner = open_runner(path)
        broken = tmp_path / "net.tflite"
        broken.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ValueError, match=r"net\.tflite: LiteRT cannot load it"):
            run_tflite.TfliteRunner(broken, runner.manifest, threads=1, device="cpu")

    def test_manifest_of_another_io_format_is_reported(self, path, tmp_path):
        manifest = open_runner(build(tmp_path, "image")).manifest
        with pytest.raises(ValueError, match=r"float32, its manifest says image .* uint8"):
            run_tflite.TfliteRunner(path, manifest, threads=1, device="cpu")


def test_image_io_deblurs_to_the_same_picture(tmp_path, photo):
    picture = np.ascontiguousarray(photo[100:164, 150:246])
    with (
        open_runner(build(tmp_path, "image")) as one,
        open_runner(build(tmp_path, "tensor")) as two,
    ):
        first, second = one.deblur(picture).astype(int), two.deblur(picture).astype(int)
    assert np.abs(first - second).max() <= 1
    assert (first != second).mean() < 1e-3


def test_io_format_by_hand():
    image = np.zeros((1, 3, 1, 2), np.float32)
    image[0, :, 0, 0] = (-1.0, 0.0, 1.0)
    picture = TensorSpec("image", (1, 1, 2, 3), "uint8", layout="NHWC", value_range=(0, 255))
    floats = TensorSpec("image", (1, 1, 2, 3), "float32", layout="NHWC")
    levels = to_io_format(image, picture)
    assert levels.tolist() == [[[[0, 128, 255], [128, 128, 128]]]]  # 127.5 rounds to even
    assert from_io_format(levels, picture)[0, :, 0, 0].tolist() == pytest.approx(
        [-1.0, 1 / 255, 1.0], abs=1e-6
    )
    assert np.array_equal(from_io_format(to_io_format(image, floats), floats), image)


def test_older_runtime_is_taken_where_litert_is_not(monkeypatch):
    asked = []
    monkeypatch.setattr(run_tflite, "available", lambda name: name.startswith("tflite_runtime"))
    monkeypatch.setattr(run_tflite, "require", lambda name, extra: asked.append((name, extra)))
    run_tflite.interpreters()
    assert asked == [("tflite_runtime.interpreter", "litert")]


def test_without_any_runtime_the_error_says_how_to_install(monkeypatch):
    monkeypatch.setattr(run_tflite, "available", lambda _: False)
    monkeypatch.setattr(run_tflite, "_MODULES", ("no_such_litert.interpreter",))
    with pytest.raises(MissingDependencyError, match=r"pip install 'edgedeblur\[litert\]'"):
        run_tflite.interpreters()
