"""Positions and weights of tiles, against hand computation."""

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.tile_plan import (
    AUTO_TILE_PX,
    RAMP_PX,
    WHOLE_UP_TO_PIXELS,
    TilingOptions,
    axis_weights,
    plan_tiles,
)
from hypothesis import given, settings
from hypothesis import strategies as st

MULTIPLE = 32


def plan(height, width, size=None, radius=None, smallest=None, **options):
    return plan_tiles(
        height,
        width,
        size=size,
        multiple=MULTIPLE,
        receptive_radius_px=radius,
        options=TilingOptions(**options),
        smallest=smallest,
    )


def test_small_pictures_are_padded_to_what_the_network_takes():
    assert plan(50, 170, smallest=160).padded == plan(50, 170, smallest=160).tile == (160, 192)
    assert plan(200, 500, tile=(160, 192), smallest=160).tile == (160, 192)
    with pytest.raises(ValueError, match="multiples of 32, at least 160, not 128x160; take 160x16"):
        plan(200, 500, tile=(128, 160), smallest=160)


def test_paper_takes_the_size_it_pads_to():
    assert plan(720, 1280, size=(736, 1312), protocol="paper").count == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (736, 1280)}, "export it with --size 736x1312 or use --protocol edge"),
        ({"tile": (64, 64)}, "protocol 'paper' never tiles; leave out --tile and --overlap"),
        ({"overlap_px": 32}, "protocol 'paper' never tiles; leave out --tile and --overlap"),
    ],
)
def test_paper_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        plan(720, 1280, protocol="paper", **options)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 12).map(lambda n: n * MULTIPLE),
    st.integers(0, 400),
    st.booleans(),
)
def test_tiles_cover_the_picture_on_multiples(height, width, tile, overlap, fixed):
    overlap = min(overlap, tile - MULTIPLE)
    size = (tile, tile) if fixed else None
    cut = plan(height, width, size=size, tile=None if fixed else (tile, tile), overlap_px=overlap)
    for side, t, padded, origins in zip(
        (height, width), cut.tile, cut.padded, (cut.rows, cut.columns), strict=True
    ):
        assert origins[0] == 0
        assert origins[-1] + t == padded
        assert side <= padded <= max(side + MULTIPLE - 1, t)
        assert all(origin % MULTIPLE == 0 for origin in origins)
        steps = np.diff(origins)
        assert (steps >= MULTIPLE).all()
        assert (steps <= t - overlap).all()


def test_a_small_picture_is_one_tile_and_a_large_one_is_not():
    assert plan(1080, 1920).tile == (1088, 1920)
    assert WHOLE_UP_TO_PIXELS >= 1088 * 1920
    photo = plan(4000, 6000)
    assert photo.count == 5 * 7
    assert max(photo.tile) <= AUTO_TILE_PX


def test_chosen_tiles_shrink_to_what_the_same_count_needs():
    assert plan(4000, 6000).tile == (928, 992)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 700)),
)
def test_weights_sum_to_exactly_one(tile, side, overlap, radius):
    tile, overlap = tile * MULTIPLE, min(overlap, tile - 1) * MULTIPLE
    origins = plan(1, side * 64, size=(32, tile), overlap_px=overlap).columns if side else (0,)
    weights = axis_weights(origins, tile, radius)
    total = np.zeros(origins[-1] + tile, np.float32)
    for origin, weight in zip(origins, weights, strict=True):
        assert weight.dtype == np.float32
        assert weight.min() >= 0
        total[origin : origin + tile] += weight
    np.testing.assert_array_equal(total, np.float32(1))


def test_weights_are_zero_within_the_radius_of_a_shared_border():
    left, right = axis_weights((0, 160), 256, 40)  # overlap 96, margins 40, ramp 16
    assert not left[256 - 40 :].any()
    assert not right[:40].any()
    assert left[:200].tolist() == [1.0] * 200
    assert (np.diff(left[200:216]) < 0).all()


def test_a_smaller_overlap_keeps_a_ramp_in_its_middle():
    left, _ = axis_weights((0, 160), 256, 300)
    ramp = np.flatnonzero((left > 0) & (left < 1))
    assert (ramp[0], ramp[-1]) == (160 + (96 - RAMP_PX) // 2, 160 + (96 + RAMP_PX) // 2 - 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "zero"}, "protocol must be edge or paper, not 'zero'"),
        ({"tile": (100, 64)}, "tile sides must be multiples of 32, not 100x64; take 128x64"),
        ({"tile": (0, 64)}, "tile sides must be multiples of 32, not 0x64; take 32x64"),
        (
            {"size": (64, 64), "tile": (96, 96)},
            r"takes 64x64 \(HxW\) only, so tiles cannot be 96x96",
        ),
        ({"size": (64, 64), "overlap_px": 33}, "an overlap of 64 px does not fit tiles of 64 px"),
        ({"size": (64, 64), "overlap_px": -2}, r"overlap must be 0 or more pixels, or -1 \(full\)"),
        (
            {"size": (64, 64), "overlap_px": -1},
            "norms are live, so each pixel depends on the whole",
        ),
        (
            {"size": (64, 64), "overlap_px": -1, "radius": 100},
            "an overlap of 224 px does not fit tiles of 64 px; take tiles of 256 px or more",
        ),
    ],
)
def test_options_that_do_not_fit_raise(options, message):
    with pytest.raises(ValueError, match=message):
        plan(500, 500, **options)
