from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_coreml import runner as run_coreml
from edgedeblur.runtimes.run_coreml.runner import CoremlRunner, from_pixels, to_pixels
from PIL import Image

from tests.contracts import RunnerContract, pytorch, spec_for
from tests.runtimes.run_coreml.mil import saved

pytest.importorskip(
    "coremltools", reason="coremltools is not installed: pip install -e '.[coreml]'"
)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.fixture(scope="module")
def path(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("coreml") / "net.mlpackage"
    target = get_target("coreml-fp16")
    produce(target, checkpoint, spec_for(target), path, norm="frozen", threads=2)
    return path


class TestCoreml(RunnerContract):
    tolerance = 3 / 255  # pixels: a whole step of 8 bits where float16 tips the rounding

    def test_answers_are_pixels_near_pytorchs(self, runner, checkpoint, image):
        pixels = (runner.infer(image) + 1) * 127.5
        assert np.abs(pixels - np.rint(pixels)).max() <= 1e-4
        expected = to_pixels(pytorch(checkpoint, image)).astype(int)
        apart = np.abs(np.rint(pixels).astype(int) - expected)
        assert apart.max() <= 1
        assert np.mean(apart) <= 0.1

    @pytest.mark.skipif(run_coreml.HAS_CORE_ML, reason="a Mac runs the artifact itself")
    def test_an_emulation_says_so(self, runner):
        assert runner.emulated
        assert runner.describe() == "cpu, 2 threads, fp16, emulated"


def test_pixels_and_values():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    values = from_pixels(pixels)
    assert (values.min(), values.max(), values.dtype) == (-1.0, 1.0, np.float32)
    assert np.array_equal(to_pixels(values), pixels)
    # 0.0039 is half a step above 0 (127.5), which goes to the even neighbour.
    assert to_pixels(np.array([-1.5, -0.001, 0.0, 0.001, 1.5])).tolist() == [0, 127, 128, 128, 255]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda mb, x: mb.mul(x=x, y=np.float32(0.3)), "values that are no pixels"),
        (lambda mb, x: mb.add(x=x, y=np.float32(200.0)), r"\(from 2\d\d to \d+\); they must be"),
        (lambda mb, x: mb.real_div(x=x, y=np.float32(0.0)), "holds NaN or infinity"),
    ],
)
def test_a_program_that_gives_no_pixels_is_refused(path, tmp_path, image, build, message):
    def named(mb, x):
        return mb.identity(x=build(mb, x), name="deblurred")

    package = saved(tmp_path, named, image.shape, half=False)
    manifest = _renamed(read_manifest(path), "x")
    with (
        CoremlRunner(package, manifest, threads=1, device="cpu") as runner,
        pytest.raises(ValueError, match=message),
    ):
        runner.infer(image)


def test_a_package_with_other_names_is_refused(path, tmp_path):
    manifest = _renamed(read_manifest(path), "picture")
    with pytest.raises(
        ValueError, match=r"inputs \['image'\] and outputs \['deblurred'\], its man"
    ):
        CoremlRunner(path, manifest, threads=1, device="cpu")


def _renamed(manifest, name):
    return dataclasses.replace(manifest, input=dataclasses.replace(manifest.input, name=name))


class FakeModel:
    """As coremltools.models.MLModel on a Mac: PIL pictures in, an RGBA picture out."""

    opened: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, path, compute_units):
        self.opened.append((path, compute_units.name))

    def get_spec(self):
        def named(name):
            return [SimpleNamespace(name=name)]

        return SimpleNamespace(
            description=SimpleNamespace(input=named("image"), output=named("deblurred"))
        )

    def predict(self, inputs):
        picture = inputs["image"]
        assert picture.mode == "RGB"
        inverted = 255 - np.asarray(picture)
        return {"deblurred": Image.fromarray(inverted).convert("RGBA")}


def test_on_a_mac_core_ml_is_asked(path, image, monkeypatch):
    monkeypatch.setattr(CoremlRunner, "emulated", False)
    monkeypatch.setattr("coremltools.models.MLModel", FakeModel)
    with open_runner(path, threads=2) as runner:
        assert FakeModel.opened == [(str(path), "ALL")]
        assert runner.describe() == "cpu, 2 threads, fp16, compute units all"
        # The picture's own 8 bits, inverted: 255 - p is the negative of p / 127.5 - 1.
        assert np.abs(runner.infer(image) + image).max() <= 1e-6
