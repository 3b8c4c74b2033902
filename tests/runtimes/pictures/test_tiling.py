"""Padding, tiles and blending against NumPy, hand computation and an untiled pass."""

import cv2
import numpy as np
import pytest
from edgedeblur.runtimes.pictures.tiling import TilingOptions, deblur_picture
from hypothesis import given, settings
from hypothesis import strategies as st

MULTIPLE = 32
sides = st.integers(1, 200)
tiles = st.integers(1, 4).map(lambda n: n * MULTIPLE)
dtypes = st.sampled_from([np.uint8, np.uint16])


def noise(height, width, dtype=np.uint8, seed=0):
    high = int(np.iinfo(dtype).max) + 1
    return np.random.default_rng(seed).integers(0, high, (height, width, 3), dtype=dtype)


def deblur(infer, picture, size=None, radius=None, progress=None, **options):
    return deblur_picture(
        infer,
        picture,
        size=size,
        multiple=MULTIPLE,
        receptive_radius_px=radius,
        options=TilingOptions(**options),
        progress=progress,
    )


def identity(image):
    return image


def box_blur(radius):
    """A network that sees ``radius`` pixels far and zeros outside its input."""
    side = 2 * radius + 1

    def infer(image):
        planes = [cv2.blur(p, (side, side), borderType=cv2.BORDER_CONSTANT) for p in image[0]]
        return np.stack(planes)[None]

    return infer


@settings(max_examples=120, deadline=None)
@given(sides, sides, dtypes, tiles, tiles, st.integers(0, 96), st.booleans())
def test_identity_is_bit_exact(height, width, dtype, tile_h, tile_w, overlap, fixed):
    tile = (tile_h, tile_w)
    options = {"overlap_px": min(overlap, min(tile) - MULTIPLE)}
    if not fixed:
        options["tile"] = tile
    picture = noise(height, width, dtype)
    result = deblur(identity, picture, size=tile if fixed else None, **options)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, picture)


@settings(max_examples=40, deadline=None)
@given(sides, sides, dtypes)
def test_identity_is_bit_exact_with_defaults(height, width, dtype):
    picture = noise(height, width, dtype)
    np.testing.assert_array_equal(deblur(identity, picture), picture)
    np.testing.assert_array_equal(deblur(identity, picture, size=(64, 96)), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives(dtype):
    levels = np.arange(int(np.iinfo(dtype).max) + 1, dtype=dtype).reshape(-1, 256)
    picture = np.dstack([levels, levels[:, ::-1], levels])
    np.testing.assert_array_equal(deblur(identity, picture), picture)


def test_views_and_read_only_pictures_are_taken():
    picture = noise(40, 50)[::-1, ::2]
    picture.flags.writeable = False
    np.testing.assert_array_equal(deblur(identity, picture), picture)


def test_the_source_is_left_alone():
    picture = noise(64, 64)
    before = picture.copy()
    result = deblur(lambda image: -image, picture)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(result, 255 - before)


@settings(max_examples=60, deadline=None)
@given(sides, sides, dtypes, st.sampled_from([None, (224, 256)]))
def test_padding_is_numpys_reflect(height, width, dtype, size):
    seen = []

    def infer(image):
        assert image.flags.c_contiguous
        assert image.dtype == np.float32
        seen.append(image.copy())
        return image

    picture = noise(height, width, dtype)
    deblur(infer, picture, size=size)
    target = size or (-(-height // 32) * 32, -(-width // 32) * 32)
    pad = ((0, target[0] - height), (0, target[1] - width), (0, 0))
    expected = np.pad(picture, pad, mode="reflect").astype(np.float64)
    expected = expected / (np.iinfo(dtype).max / 2) - 1
    assert len(seen) == 1
    np.testing.assert_allclose(seen[0][0], expected.transpose(2, 0, 1), atol=3e-7)


def test_outputs_are_rounded_and_clipped():
    values = np.array([-1.4, -1.0, -0.999, 0.0039, 0.0118, 0.998, 1.0, 7.0], np.float32)

    def infer(image):
        image = image.copy()
        image[0, 1, 0, : len(values)] = values
        return image

    result = deblur(infer, noise(8, 8))
    # x * 127.5 + 127.5: 0.1275, 127.99725, 129.0045 and 254.745
    assert result[0, :8, 1].tolist() == [0, 0, 0, 128, 129, 255, 255, 255]


def test_a_reused_output_buffer_is_used_up_before_the_next_call():
    buffer = np.empty((1, 3, 64, 64), np.float32)

    def infer(image):
        buffer[...] = image
        return buffer

    picture = noise(150, 200)
    np.testing.assert_array_equal(deblur(infer, picture, size=(64, 64), overlap_px=32), picture)


def test_paper_is_the_reference_by_hand():
    """5x40 pads to 32x64 with mid-grey, and 64 to 96 although it needs no padding."""
    seen = []

    def infer(image):
        seen.append(image.copy())
        return image

    picture = noise(5, 40)
    result = deblur(infer, picture, protocol="paper")
    assert seen[0].shape == (1, 3, 32, 64)
    assert not seen[0][0, :, 5:].any()
    assert not seen[0][0, :, :, 40:].any()
    normalised = (picture.astype(np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)
    np.testing.assert_array_equal(seen[0][0, :, :5, :40], normalised.transpose(2, 0, 1))
    expected = ((normalised + 1) / 2.0 * 255.0).astype("uint8")
    np.testing.assert_array_equal(result, expected)
    deblur(infer, noise(64, 64), protocol="paper")
    assert seen[1].shape == (1, 3, 96, 96)


def test_paper_truncates():
    half_a_level = np.float32(0.99 / 127.5)
    picture = np.full((4, 4, 3), 100, np.uint8)
    result = deblur(lambda image: image + half_a_level, picture, protocol="paper")
    assert np.unique(result).tolist() == [100]
    assert np.unique(deblur(lambda image: image + half_a_level, picture)).tolist() == [101]


def test_paper_truncation_darkens_103_levels():
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    loss = levels.astype(int) - deblur(identity, levels, protocol="paper")
    assert sorted(np.unique(loss[..., 0], return_counts=True)[1].tolist()) == [103, 153]
    assert loss.min() == 0
    assert loss.max() == 1


def test_paper_refuses_16_bit():
    with pytest.raises(ValueError, match="defined for 8-bit pictures; use --protocol edge"):
        deblur(identity, noise(8, 8, np.uint16), protocol="paper")


@settings(max_examples=25, deadline=None)
@given(st.integers(90, 300), st.integers(90, 300), st.integers(1, 40), dtypes)
def test_full_overlap_makes_tiles_exact(height, width, radius, dtype):
    picture = noise(height, width, dtype) // 4 + np.iinfo(dtype).max // 4 * 3
    whole = deblur(box_blur(radius), picture).astype(int)
    tiled = deblur(box_blur(radius), picture, radius=radius, tile=(128, 160), overlap_px=-1).astype(
        int
    )
    # The box filter's running sums round differently in each tile: 1e-6 of the range.
    assert np.abs(whole - tiled).max() <= 1


def brightest(radius):
    """A network without rounding: the largest value within ``radius``, white outside its input."""
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)

    def infer(image):
        border = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 1.0}
        return np.stack([cv2.dilate(p, kernel, **border) for p in image[0]])[None]

    return infer


@settings(max_examples=25, deadline=None)
@given(st.integers(90, 400), st.integers(90, 400), st.integers(0, 12), dtypes)
def test_full_overlap_is_bit_exact_for_a_network_without_rounding(height, width, radius, dtype):
    picture = noise(height, width, dtype) // 8
    whole = deblur(brightest(radius), picture)
    tiled = deblur(brightest(radius), picture, radius=radius, size=(96, 64), overlap_px=-1)
    # Beyond the picture's own edge both see reflection; a fixed size may add more of it.
    inside = (slice(0, max(height - 2 * radius, 0)), slice(0, max(width - 2 * radius, 0)))
    np.testing.assert_array_equal(tiled[inside], whole[inside])


def bright(height, width):
    """Far from the mid-grey that a tile sees beyond its borders, so that a wrong border shows."""
    return noise(height, width) // 4 + 190


def test_small_overlap_is_not_exact():
    picture = bright(300, 300)
    whole = deblur(box_blur(40), picture).astype(int)
    tiled = deblur(box_blur(40), picture, radius=40, tile=(128, 128), overlap_px=32).astype(int)
    assert np.abs(whole - tiled).max() > 10


def test_a_radius_given_too_small_is_not_exact():
    picture = bright(300, 300)
    whole = deblur(box_blur(40), picture).astype(int)
    tiled = deblur(box_blur(40), picture, radius=10, tile=(128, 128), overlap_px=-1).astype(int)
    assert np.abs(whole - tiled).max() > 10


def test_progress_counts_tiles():
    calls = []
    deblur(
        identity, noise(100, 100), size=(64, 64), overlap_px=32, progress=lambda *c: calls.append(c)
    )
    assert calls == [(n, 9) for n in range(1, 10)]


def test_wrong_arrays_raise():
    with pytest.raises(TypeError, match="must be uint8 or uint16, not float32"):
        deblur(identity, np.zeros((4, 4, 3), np.float32))
    for shape in [(4, 4), (4, 4, 4), (0, 4, 3)]:
        with pytest.raises(ValueError, match=r"must have shape \(H, W, 3\)"):
            deblur(identity, np.zeros(shape, np.uint8))
