"""The gates of the comparison with PyTorch that no real target runs into."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from edgedeblur.export import verify
from edgedeblur.export.verify import ParityError, compare_outputs, measure_parity
from edgedeblur.runtimes.pictures import sample_inputs as samples
from edgedeblur.runtimes.pictures.sample_inputs import SampleInput


class Runner:
    emulated = False
    """Multiplies by ``gain`` and, unlike the reference, clamps at ``most``."""

    manifest = SimpleNamespace(target="onnx-fp99", output=SimpleNamespace(dtype="float32"))

    def __init__(self, gain, most):
        self.gain, self.most = gain, most

    def infer(self, image):
        return np.clip(self.gain * image, -self.most, self.most).astype(np.float32)

    def describe(self):
        return "nowhere"


class Reference(torch.nn.Module):
    def forward(self, image):
        return (1.5 * image).clamp(-1, 1)


@pytest.fixture
def sample():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 64)).astype(np.float32)
    image[0, 0, 0, :2] = -1, 1
    return SampleInput("made.png", image, (32, 64))


def test_no_pictures_is_no_parity():
    with pytest.raises(ValueError, match="parity needs at least one picture"):
        measure_parity(Runner(1.5, 1), Reference(), [], tolerance_psnr_db=50)


def test_missing_samples_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "SAMPLES", tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"gone: the packaged samples are missing; reinst"):
        samples.load_sample_inputs((32, 64), 32, dynamic=False)


def test_an_output_beyond_its_range_is_refused_though_its_pixels_are_identical(sample):
    runner, reference = Runner(1.5, 2), Reference()
    expected = verify.run_reference(reference, sample.image)
    assert compare_outputs(runner.infer(sample.image), expected, sample)[0] == np.inf
    with pytest.raises(ParityError, match=r"onnx-fp99 outputs values in \[-1\.5, 1\.5\] on m"):
        measure_parity(runner, reference, [sample], tolerance_psnr_db=50)


@pytest.mark.parametrize(("most", "allowed"), [(1 + 0.9 / 255, True), (1 + 1.1 / 255, False)])
def test_half_a_step_of_a_pixel_is_allowed(sample, most, allowed):
    if allowed:
        parity = measure_parity(Runner(1.5, most), Reference(), [sample], tolerance_psnr_db=50)
        assert parity.max_abs == pytest.approx(most - 1, rel=1e-4)
    else:
        with pytest.raises(ParityError, match=r"outside \[-1, 1\]; nothing was written"):
            measure_parity(Runner(1.5, most), Reference(), [sample], tolerance_psnr_db=50)


def test_a_picture_below_the_tolerance_is_named_with_its_numbers(sample):
    weak = Runner(1.4, 1)
    with pytest.raises(
        ParityError, match=r"differs from PyTorch: \d+\.\d\d dB on made\.png, below the tol"
    ):
        measure_parity(weak, Reference(), [sample], tolerance_psnr_db=50)
    assert measure_parity(weak, Reference(), [sample], tolerance_psnr_db=20).worst_psnr_db < 50
