"""Degradations of the Restore data set: amounts by formula, mixture, and the set on disk."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edgedeblur.models.data.registry import find_pairs
from edgedeblur.models.data.restore import (
    KINDS,
    Restore,
    degrade,
    degraded,
    write_restore_set,
)

GREY = np.full((128, 128, 3), 120, np.uint8)


def rng():
    return np.random.default_rng(5)


def fixed(**amounts):
    return Restore(gaussian_min=10, gaussian_max=10, speckle_min=0.1, speckle_max=0.1, **amounts)


@pytest.mark.parametrize(("kind", "level", "deviation"), [
    ("gaussian", 120, 10.0), ("gaussian", 60, 10.0), ("speckle", 120, 12.0), ("speckle", 60, 6.0)
])  # fmt: skip
def test_noise_has_the_deviation_asked_for(kind, level, deviation):
    picture = np.full((128, 128, 3), level, np.uint8)
    found = degrade(rng(), picture, kind, fixed()).astype(float)
    assert found.mean() == pytest.approx(level, abs=0.3)
    assert found.std() == pytest.approx(deviation, rel=0.03)


def test_enlarging_loses_what_is_finer_than_the_smaller_picture():
    fine = np.zeros((96, 96, 3), np.uint8)
    fine[:, ::2] = 200  # a period of two pixels, half of what a third of the width can hold
    found = degrade(rng(), fine, "upscale", Restore(upscale_min=3, upscale_max=3)).astype(float)
    assert found.shape == fine.shape
    assert found.mean() == pytest.approx(100, abs=2)
    assert found.std() < 0.4 * fine.std()
    flat = degrade(rng(), GREY, "upscale", Restore())
    assert np.array_equal(flat, GREY)


def test_jpeg_is_that_of_the_quality():
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = degrade(rng(), noisy, "jpeg", Restore(jpeg_min_quality=30, jpeg_max_quality=30))
    _, coded = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    assert np.array_equal(found, cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def test_mixture_draws_the_shares():
    restore = Restore(gaussian_share=0.5, jpeg_share=0.2)
    small = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    source = rng()
    same = sum(np.array_equal(degraded(source, small, restore), small) for _ in range(600))
    assert 0.2 < same / 600 < 0.4  # 0.3 get none; few survive a degradation unchanged
    assert np.array_equal(degraded(rng(), small, Restore()), small)


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"gaussian_share": 0.7, "jpeg_share": 0.4}, "1 in all"),
        ({"speckle_share": -0.1}, r"in \[0, 1\]"),
        ({"speckle_min": 0.3}, "speckle from 0.3 to 0.2 is not a range"),
        ({"jpeg_min_quality": 0}, "a range in 1 to 100"),
        ({"upscale_min": 0.5}, "it is at least 1"),
    ],
)
def test_impossible_amounts_are_refused(amounts, message):
    with pytest.raises(ValueError, match=message):
        Restore(**amounts)
    with pytest.raises(ValueError, match="unknown degradation 'fog'; known: gaussian, speckle"):
        degrade(rng(), GREY, "fog", Restore())


@pytest.fixture
def pairs(tmp_path):
    root = tmp_path / "pairs"
    for side, seed in (("blurry", 1), ("sharp", 2)):
        (root / side).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            picture = np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)
            cv2.imwrite(str(root / side / name), picture)
    return find_pairs(root).pairs


def test_set_is_written_found_and_the_same_again(pairs, tmp_path):
    written = write_restore_set(pairs, tmp_path / "one")
    assert written == dict.fromkeys(("motion", *KINDS), 2)
    write_restore_set(pairs, tmp_path / "two")
    found = find_pairs(tmp_path / "one")
    assert found.layout == "restore"
    assert [pair.name for pair in found.pairs] == sorted(
        f"{kind}/{name}" for kind in ("motion", *KINDS) for name in ("a", "b")
    )
    again = find_pairs(tmp_path / "two")
    for first, second in zip(found.pairs, again.pairs, strict=True):
        assert first.blurry.read_bytes() == second.blurry.read_bytes()
        changed = first.blurry.read_bytes() != pairs[first.name.endswith("b")].blurry.read_bytes()
        assert changed == (not first.name.startswith("motion/"))
    with pytest.raises(FileExistsError, match="is not empty; choose another folder"):
        write_restore_set(pairs, tmp_path / "one")
    with pytest.raises(ValueError, match="no pairs to degrade"):
        write_restore_set([], tmp_path / "three")
