"""Where tiles lie and what they weigh, in numbers that a person can check."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.tile_plan import TilePlan, TilingOptions, axis_weights, plan_tiles


def plan(height, width, size=None, radius=None, multiple=32, **options):
    return plan_tiles(
        height,
        width,
        size=size,
        multiple=multiple,
        receptive_radius_px=radius,
        options=TilingOptions(**options),
    )


def columns(width, tile, **more):
    return plan(32, width, size=(32, tile), **more).columns


def test_tiles_share_128_pixels_where_nobody_names_an_overlap():
    # 512 + 7 * (512 - 128) = 3200: eight tiles just reach the end, each 384 after the last.
    assert columns(3200, 512) == tuple(range(0, 2689, 384))
    assert columns(3201, 512)[:3] == (0, 320, 672)
    # At a multiple of 160 the overlap is 160: 17 tiles, each 480 after the last.
    cut = plan(160, 8320, size=(160, 640), multiple=160)
    assert cut.columns == tuple(range(0, 7681, 480))
    assert plan(1, 897, size=(1, 512), multiple=1).columns == (0, 192, 385)  # 127 would make two


def test_small_tiles_share_at_most_their_half_in_whole_multiples():
    assert columns(320, 128) == (0, 64, 128, 192)  # 64 of 128
    assert columns(224, 96) == (0, 64, 128)  # 32 of 96
    assert columns(96, 32) == (0, 32, 64)  # 0 of 32


def test_origins_are_rounded_down_to_the_multiple():
    # 256 + 224 = 480: a step of 128 at most, so two steps, of 3.5 multiples each.
    assert columns(480, 256) == (0, 96, 224)


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (0, (0, 96, 192)), (1, (0, 96, 192)), (32, (0, 96, 192)), (33, (0, 64, 128, 192)),
        (96, (0, 32, 64, 96, 128, 160, 192)),
    ],
)  # fmt: skip
def test_named_overlaps_are_rounded_up_to_the_multiple(overlap, expected):
    assert columns(320, 128, overlap_px=overlap) == expected


@pytest.mark.parametrize(("radius", "same_as"), [(0, 0), (1, 2), (16, 32), (20, 40), (48, 96)])
def test_full_overlap_is_twice_the_radius(radius, same_as):
    full = columns(320, 128, overlap_px=-1, radius=radius)
    assert full == columns(320, 128, overlap_px=same_as)


def test_what_does_not_fit_a_tile_is_refused():
    for more in ({"overlap_px": 97}, {"overlap_px": 128}, {"overlap_px": -1, "radius": 49}):
        with pytest.raises(ValueError, match="overlap of 128 px does not fit tiles of 128 px"):
            columns(320, 128, **more)
    for asked, shared in ((512, 512), (513, 544), (900, 928)):
        with pytest.raises(ValueError, match=f"overlap of {shared} px does not fit tiles of 512"):
            columns(2048, 512, overlap_px=asked)
    with pytest.raises(ValueError, match="not -2"):
        columns(320, 128, overlap_px=-2, radius=9)
    with pytest.raises(ValueError, match="norms are live"):
        columns(320, 128, overlap_px=-1)
    assert columns(128, 128, overlap_px=500) == (0,)  # nothing is cut, so nothing is shared


def test_pictures_of_up_to_two_megapixels_stay_whole():
    for size in ((1024, 2048), (512, 2048), (2048, 32), (1088, 1920)):
        assert plan(*size) == TilePlan(size, size, (0,), (0,))
    assert plan(32, 65568).count > 1  # 1024 pixels more than two megapixels
    assert len(plan(1000, 2817, multiple=1).columns) == 4  # 1024 + 2 * 896 is one pixel less
    # 2080 needs tiles of 1024 at 896 apart: three. The smallest three that share 128 are 779
    # wide, 800 in whole multiples, and lie half of 1280 apart.
    assert plan(1024, 2080) == TilePlan((1024, 2080), (1024, 800), (0,), (0, 640, 1280))
    assert plan(2080, 1024) == TilePlan((2080, 1024), (800, 1024), (0, 640, 1280), (0,))
    # 4096 of both: 3072 / 896 makes 4 steps, ceil((4096 + 4 * 128) / 5) = 922, so 928.
    both = plan(4096, 4096)
    assert both.tile == (928, 928)
    assert both.rows == both.columns == (0, 768, 1568, 2368, 3168)
    assert both.count == 25
    assert {type(origin) for origin in both.rows} == {int}
    # Five tiles of 924.8 or more: 928, though 924 would be a multiple of 4.
    assert plan(600, 4112, multiple=4).tile == (600, 928)


def test_asked_tiles_are_kept_and_cut_to_the_picture():
    cut = plan(64, 2080, tile=(1024, 1024))
    assert cut == TilePlan((64, 2080), (64, 1024), (0,), (0, 512, 1056))
    assert plan(2080, 64, tile=(1024, 1024)).rows == (0, 512, 1056)
    assert plan(33, 95, tile=(32, 32), overlap_px=0).count == 2 * 3
    assert plan(2080, 2080, tile=(1024, 512)).tile == (1024, 512)
    assert plan(64, 64, size=(64, 64), tile=tuple([64] * 2)).count == 1  # equal, not one object
    assert plan(20, 20, tile=(8, 12), multiple=4, overlap_px=0).columns == (0, 8)


def test_padding_goes_up_to_the_multiple_and_to_the_fixed_size():
    assert plan(1, 32).padded == (32, 32)
    assert plan(33, 64).padded == (64, 64)
    assert plan(9, 8, multiple=8).padded == (16, 8)
    assert plan(40, 40, size=(64, 96)) == TilePlan((64, 96), (64, 96), (0,), (0,))
    assert plan(40, 200, size=(64, 96)).padded == (64, 224)


@pytest.mark.parametrize(
    "tile", [(31, 64), (33, 64), (64, 33), (0, 64), (64, 0), (-32, 64), (64, -64), (16, 16)]
)
def test_tiles_that_are_no_multiples_are_refused(tile):
    with pytest.raises(ValueError, match="tile sides must be multiples of 32"):
        plan(500, 500, tile=tile)


@pytest.mark.parametrize(
    ("tile", "multiple", "valid"),
    [((33, 64), 32, "64x64"), ((0, -5), 32, "32x32"), ((0, 5), 1, "1x5")],
)
def test_the_next_sizes_that_would_do_are_named(tile, multiple, valid):
    with pytest.raises(ValueError, match=f"take {valid}$"):
        plan(500, 500, tile=tile, multiple=multiple)


@pytest.mark.parametrize("tile", [(64, 96), (96, 64), (32, 32)])
def test_tiles_other_than_the_fixed_size_are_refused(tile):
    with pytest.raises(ValueError, match=r"takes 64x64 \(HxW\) only"):
        plan(500, 500, size=(64, 64), tile=tile)


def test_the_papers_padding_always_adds():
    protocol = "-paper-".strip("-")  # an equal text, another object
    whole = ((0,), (0,))
    assert plan(31, 32, protocol=protocol) == TilePlan((32, 64), (32, 64), *whole)
    assert plan(64, 95, protocol=protocol, size=(96, 96)) == TilePlan((96, 96), (96, 96), *whole)
    for size in ((96, 128), (128, 96), (64, 96), (96, 64)):
        with pytest.raises(ValueError, match="use --protocol edge"):
            plan(64, 95, protocol=protocol, size=size)
    for options in ({"tile": (96, 96)}, {"overlap_px": 0}):
        with pytest.raises(ValueError, match="never tiles"):
            plan(64, 95, protocol=protocol, **options)


@pytest.mark.parametrize("protocol", ["", "edges", "a", "f", "q", "z"])
def test_unknown_protocols_are_refused(protocol):
    assert plan(8, 8, protocol="-edge-".strip("-")).count == 1
    with pytest.raises(ValueError, match="protocol must be edge or paper"):
        plan(8, 8, protocol=protocol)


def test_plans_and_options_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan(8, 8).tile = (1, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TilingOptions().overlap_px = 3


def fade(count):
    """A fade over so many pixels, at their centres, in steps of 1/1024."""
    return [1 - round((place + 0.5) / count * 1024) / 1024 for place in range(count)]


@pytest.mark.parametrize(
    ("second", "tile", "radius", "start", "length"),
    [
        (160, 256, 40, 200, 16),  # overlap 96, margins of 40
        (160, 256, 0, 160, 96),
        (160, 256, 49, 192, 32),  # too small for the radius: 32 in the middle
        (160, 256, 50, 192, 32),
        (160, 256, None, 192, 32),
        (108, 128, None, 108, 20),  # an overlap below 32 is all fade
        (95, 128, None, 95, 33),
        (93, 128, None, 94, 33),  # 35: one pixel left out on either side
        (10, 20, 2, 12, 6),
    ],
)
def test_neighbours_fade_between_their_margins(second, tile, radius, start, length):
    left, right = axis_weights((0, second), tile, radius)
    assert left.dtype == right.dtype == np.float32
    assert left.tolist() == [1.0] * start + fade(length) + [0.0] * (tile - start - length)
    assert right.tolist() == (1 - np.append(left, np.zeros(second)))[second:].tolist()


def test_no_room_for_a_fade_makes_a_step():
    left, right = axis_weights((0, 160), 256, 48)  # overlap 96 = twice 48
    assert left.tolist() == [1.0] * 208 + [0.0] * 48
    assert right.tolist() == [0.0] * 48 + [1.0] * 208
    for weight in axis_weights((0, 32, 64), 32, None):
        assert weight.tolist() == [1.0] * 32


def test_a_tile_in_between_rises_and_falls():
    first, middle, last = axis_weights((0, 24, 48), 32, 0)
    assert first.tolist() == [1.0] * 24 + fade(8)
    assert middle.tolist() == fade(8)[::-1] + [1.0] * 16 + fade(8)
    assert last.tolist() == fade(8)[::-1] + [1.0] * 24


def test_a_lone_tile_counts_whole():
    (only,) = axis_weights((0,), 8, 3)
    assert only.tolist() == [1.0] * 8
