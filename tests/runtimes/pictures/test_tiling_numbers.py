"""What goes into the network and what becomes of its output, number by number."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.tile_plan import TilingOptions, axis_weights
from edgedeblur.runtimes.pictures.tiling import deblur_picture


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*shape, 3), dtype=dtype)


def deblur(infer, picture, size=None, radius=None, progress=None, **options):
    return deblur_picture(
        infer,
        picture,
        size=size,
        multiple=4,
        receptive_radius_px=radius,
        options=TilingOptions(**options),
        progress=progress,
    )


class Network:
    """Notes what it gets and answers with it, or with ``answer(call number)`` everywhere."""

    def __init__(self, answer=None):
        self.answer, self.seen = answer, []

    def __call__(self, image):
        self.seen.append(image.copy())
        return image if self.answer is None else np.full_like(image, self.answer(len(self.seen)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(3, 6), (4, 5), (7, 8), (4, 4), (40, 6)])
def test_the_network_gets_the_reflected_picture_from_minus_one_to_one(shape, dtype):
    picture, network = noise(*shape, dtype=dtype), Network()
    picture[0, 0], picture[0, 1] = 0, np.iinfo(dtype).max
    calls = []
    result = deblur(network, picture, progress=lambda *c: calls.append(c))
    assert np.array_equal(result, picture)
    assert result.dtype == dtype
    pad = [(0, -side % 4) for side in shape]
    padded = np.pad(picture, [*pad, (0, 0)], mode="reflect").transpose(2, 0, 1)
    expected = padded / (np.iinfo(dtype).max / 2) - 1
    assert network.seen[0][0] == pytest.approx(expected, abs=1e-6)
    assert network.seen[0].shape == (1, *padded.shape)
    assert calls == [(1, 1)]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.uint8, [-2.0, -1.0, 0.0, 0.004, 0.02, 1.0, 3.0], [0, 0, 128, 128, 130, 255, 255]),
        (np.uint16, [-2.0, -1.0, 0.5, 1.0, 3.0], [0, 0, 49151, 65535, 65535]),
    ],
)
def test_outputs_are_rounded_and_clipped(dtype, values, expected):
    for value, level in zip(values, expected, strict=True):
        result = deblur(Network(lambda _, v=value: v), np.zeros((4, 4, 3), dtype))
        assert np.unique(result).tolist() == [level]


def test_a_single_pixel_is_repeated():
    picture, network = np.full((1, 1, 3), 255, np.uint8), Network()
    assert np.array_equal(deblur(network, picture), picture)
    assert network.seen[0].shape == (1, 3, 4, 4)
    assert network.seen[0].ravel() == pytest.approx(np.ones(48), abs=1e-6)


# Tiles of 16 that share at least 4, by the side of the padded picture.
ORIGINS = {16: (0,), 20: (0, 4), 24: (0, 8), 32: (0, 8, 16)}


@pytest.mark.parametrize("shape", [(22, 30), (16, 30), (30, 16), (17, 31), (16, 18)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_get_their_part_and_count_by_their_weights(shape, dtype):
    """Each tile answers with a level of its own, so that every weight shows in the result."""
    picture = noise(*shape, dtype=dtype)
    calls = []
    network = Network(lambda call: -0.9 + 0.1 * call)
    options = {"size": (16, 16), "overlap_px": 4, "radius": 1}
    result = deblur(network, picture, progress=lambda *c: calls.append(c), **options)
    height, width = (-(-side // 4) * 4 for side in shape)
    rows, columns = ORIGINS[height], ORIGINS[width]
    padded = np.pad(picture, ((0, height - shape[0]), (0, width - shape[1]), (0, 0)), "reflect")
    total = np.zeros((height, width))
    places = [
        (top, left, row[:, None] * column)
        for top, row in zip(rows, axis_weights(rows, 16, 1), strict=True)
        for left, column in zip(columns, axis_weights(columns, 16, 1), strict=True)
    ]
    for call, (top, left, weight) in enumerate(places, 1):
        total[top : top + 16, left : left + 16] += weight * (-0.9 + 0.1 * call)
        part = padded[top : top + 16, left : left + 16].transpose(2, 0, 1)
        assert network.seen[call - 1].shape == (1, 3, 16, 16)
        assert network.seen[call - 1][0] == pytest.approx(
            part / (np.iinfo(dtype).max / 2) - 1, abs=1e-6
        )
    half = np.iinfo(dtype).max / 2
    expected = (total * half + half)[: shape[0], : shape[1], None]
    assert np.abs(result - expected).max() <= 0.502
    assert calls == [(done, len(places)) for done in range(1, len(places) + 1)]
    assert np.array_equal(deblur(Network(), picture, **options), picture)


def test_many_rows_of_tiles_blend_into_the_picture():
    picture = noise(50, 70)
    network = Network()
    assert np.array_equal(deblur(network, picture, size=(16, 24), overlap_px=8), picture)
    assert len(network.seen) == 6 * 4
    tall = {"size": (36, 24), "overlap_px": 8}  # more rows than are worked on at once
    assert np.array_equal(deblur(Network(), picture, **tall), picture)
    assert np.array_equal(deblur(Network(), picture), picture)
    strip = noise(1040, 4)  # 260 rows of tiles
    assert np.array_equal(deblur(Network(), strip, size=(4, 4), overlap_px=0), strip)


def paper(value):
    """The reference's way back: ``(x + 1) / 2 * 255``, cut off."""
    return np.floor((np.float32(value) + np.float32(1)) / np.float32(2) * np.float32(255))


def test_the_papers_protocol_by_hand():
    picture, network, calls = noise(3, 4), Network(), []
    result = deblur(network, picture, protocol="paper", progress=lambda *c: calls.append(c))
    (seen,) = network.seen
    assert seen.shape == (1, 3, 4, 8)
    normal = (picture.astype(np.float32) - np.float32(127.5)) * (np.float32(1) / np.float32(127.5))
    assert np.array_equal(seen[0, :, :3, :4], normal.transpose(2, 0, 1))
    assert not seen[0, :, 3:].any()
    assert not seen[0, :, :, 4:].any()
    assert np.array_equal(result, paper(normal))
    assert calls == [(1, 1)]


def test_the_papers_protocol_cuts_off_and_clips():
    picture = np.zeros((4, 4, 3), np.uint8)
    for value in (-1.5, -1.0, -0.3, 0.0, 0.499, 1.0, 1.7):
        found = deblur(Network(lambda _, v=value: v), picture, protocol="paper")
        assert np.unique(found).tolist() == [min(max(paper(value), 0), 255)]


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.float32, bool])
def test_other_types_are_refused(kind):
    with pytest.raises(TypeError, match="must be uint8 or uint16"):
        deblur(Network(), np.zeros((4, 4, 3), kind))


@pytest.mark.parametrize(
    "shape", [(4, 4), (4, 4, 2), (4, 4, 4), (1, 4, 3, 3), (0, 4, 3), (4, 0, 3)]
)
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"must have shape \(H, W, 3\)"):
        deblur(Network(), np.zeros(shape, np.uint8))


def test_the_paper_knows_8_bits_only():
    protocol = "-paper-".strip("-")  # an equal text, another object
    with pytest.raises(ValueError, match="defined for 8-bit pictures"):
        deblur(Network(), noise(4, 4, dtype=np.uint16), protocol=protocol)
    network = Network()
    deblur(network, noise(4, 4), protocol=protocol)
    assert network.seen[0].shape == (1, 3, 8, 8)
    assert not network.seen[0][:, :, 4:].any()
    with pytest.raises(ValueError, match="protocol must be edge or paper"):
        deblur(Network(), noise(4, 4, dtype=np.uint16), protocol="zero")
