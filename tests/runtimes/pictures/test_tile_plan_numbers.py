"""Where tiles lie and what they weigh, in numbers that a person can check."""

from __future__ import annotations

from edgedeblur.runtimes.pictures.tile_plan import TilingOptions, plan_tiles


def plan(height, width, size=None, radius=None, multiple=32, **options):
    return plan_tiles(
        height,
        width,
        size=size,
        multiple=multiple,
        receptive_radius_px=radius,
        options=TilingOptions(**options),
    )


def test_tiles_share_128_pixels_where_nobody_names_an_overlap():
    # 512 + 7 * (512 - 128) = 3200: eight tiles just reach the end, each 384 after the last.
    cut = plan(512, 3200, size=(512, 512))
    assert cut.columns == tuple(range(0, 2689, 384))
    assert plan(512, 3201, size=(512, 512)).columns[:3] == (0, 320, 672)


def test_origins_are_rounded_down_to_the_multiple():
    # 256 + 224 = 480: a step of 128 at most, so two steps, of 3.5 multiples each.
    assert plan(32, 480, size=(32, 256)).columns == (0, 96, 224)
