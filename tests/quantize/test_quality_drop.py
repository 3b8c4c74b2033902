from __future__ import annotations

import math

import numpy as np
import pytest
from edgedeblur.quantize.quality_drop import float_outputs, measure_drop
from edgedeblur.runtimes.pictures.sample_inputs import SampleInput


def sample(name="a", shown=(16, 16)):
    """A grey picture (level 128) of 16x32 whose sharp reference is level 138."""
    image = np.full((1, 3, 16, 32), 128 / 127.5 - 1, np.float32)
    return SampleInput(name, image, shown, np.full((*shown, 3), 138, np.uint8))


def shifted(levels):
    return lambda image: image + np.float32(levels / 127.5)


def test_drop_by_hand():
    # Float restores all 10 levels but 2, int8 all but 4: errors of 2 and of 4 levels.
    floats = float_outputs(shifted(8), [sample()])
    drop = measure_drop(shifted(6), floats, [sample()])
    assert drop.psnr_drop_db == pytest.approx(20 * math.log10(4 / 2))
    assert drop.psnr_to_float_db == pytest.approx(20 * math.log10(255 / 2))
    assert drop.residual_snr_db == pytest.approx(20 * math.log10(8 / 2), abs=1e-3)
    assert (drop.pictures, drop.worst_picture) == (1, "a")


def test_only_what_is_shown_counts():
    def infer(image):
        output = image + np.float32(8 / 127.5)
        output[..., 16:] = 1.0
        return output

    floats = float_outputs(shifted(8), [sample()])
    assert measure_drop(infer, floats, [sample()]).psnr_drop_db == 0.0


def test_worst_picture_is_named_and_means_are_means():
    samples = [sample("a"), sample("b")]
    floats = float_outputs(shifted(8), samples)
    answers = iter([shifted(8), shifted(6)])
    drop = measure_drop(lambda image: next(answers)(image), floats, samples)
    assert drop.worst_picture == "b"
    assert drop.psnr_drop_db == pytest.approx(drop.worst_drop_db / 2)


def test_nothing_compared_is_an_error():
    with pytest.raises(ValueError, match="at least one picture"):
        measure_drop(shifted(0), [], [])
    bare = SampleInput("a", sample().image, (16, 16))
    with pytest.raises(ValueError, match="no sharp reference"):
        measure_drop(shifted(0), [bare.image], [bare])
    with pytest.raises(ValueError, match="NaN"):
        measure_drop(shifted(np.nan), [sample().image], [sample()])
