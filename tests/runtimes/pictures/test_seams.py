"""Tiles of the real network against the whole picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.network.receptive_field import receptive_radius_px
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.tiling import TilingOptions
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_torch import open_reference


@pytest.fixture(scope="module")
def wide() -> np.ndarray:
    """A real picture, 96x1216: wider than two receptive fields."""
    samples = Path(__file__).parents[3] / "benchmarks" / "samples" / "blurry"
    picture = read_picture(samples / "mountains.png").pixels
    return np.ascontiguousarray(picture[400:496, :1216])


def _worst(runner, picture, overlap_px, tile=(96, 736)) -> int:
    whole = runner.deblur(picture, TilingOptions(tile=(96, 1216)))
    options = TilingOptions(tile=tile, overlap_px=overlap_px)
    calls: list[tuple[int, int]] = []
    tiled = runner.deblur(picture, options, lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] >= 2
    return int(np.abs(tiled.astype(int) - whole).max())


def test_full_overlap_equals_the_whole_picture(wide):
    with open_runner(zoo_path("mobilenet_dsc")) as runner:
        assert runner.manifest.receptive_radius_px == receptive_radius_px("mobilenet_dsc")
        assert _worst(runner, wide, overlap_px=-1) <= 1


def test_a_small_overlap_is_seen_by_this_test(wide):
    with open_runner(zoo_path("mobilenet_dsc")) as runner:
        assert _worst(runner, wide, overlap_px=32, tile=(96, 320)) > 1


def test_live_norms_have_no_exact_overlap(wide):
    with open_reference(zoo_path("mobilenet_dsc"), norm="live") as runner:
        assert runner.manifest.receptive_radius_px is None
        with pytest.raises(ValueError, match="norms are live"):
            _worst(runner, wide, overlap_px=-1)
        assert _worst(runner, wide, overlap_px=576) > 1
