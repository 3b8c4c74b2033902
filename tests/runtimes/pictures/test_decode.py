"""Kinds of pixels: palettes, CMYK, 16-bit TIFF in many layouts, and kinds that are refused."""

import cv2
import numpy as np
import pytest
import tifffile
from edgedeblur.runtimes.pictures.decode import PictureError
from edgedeblur.runtimes.pictures.read import read_picture
from PIL import Image

from tests.runtimes.pictures.support import ramp, save


def test_palettes_become_colour(tmp_path):
    image = Image.fromarray(ramp()).quantize(16)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB"))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, expected)
    assert not picture.grey
    image.save(tmp_path / "b.png", transparency=3)
    picture = read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(picture.pixels, expected)
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 3)


def test_a_transparent_colour_becomes_alpha(tmp_path):
    stored = np.full((4, 4, 3), 7, np.uint8)
    stored[0, 0] = (1, 2, 3)
    save(tmp_path / "a.png", stored, transparency=(1, 2, 3))
    assert read_picture(tmp_path / "a.png").alpha.tolist() == [[0, 255, 255, 255]] + [[255] * 4] * 3


def test_bilevel_is_grey(tmp_path):
    Image.fromarray(ramp()[..., 0] > 100).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.grey
    assert np.unique(picture.pixels).tolist() == [0, 255]


def test_cmyk_becomes_srgb(tmp_path):
    Image.fromarray(ramp()).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.remarks == ("converted from CMYK to sRGB",)
    assert np.abs(picture.pixels.astype(int) - ramp()).max() <= 12


def test_a_profile_that_is_not_one_for_cmyk_is_an_error(tmp_path):
    cmyk = Image.fromarray(ramp()).convert("CMYK")
    cmyk.save(tmp_path / "a.jpg", icc_profile=b"not a profile" * 20)
    with pytest.raises(PictureError, match=r"a\.jpg: damaged or cut off \(cannot open profile"):
        read_picture(tmp_path / "a.jpg")


def test_a_cameras_mpo_gives_its_first_picture(tmp_path):
    first, second = Image.fromarray(ramp()), Image.fromarray(255 - ramp())
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    path = (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    picture = read_picture(path)
    assert np.abs(picture.pixels.astype(int) - ramp()).max() <= 30
    assert picture.format == "JPEG"
    assert "took the first" in picture.remarks[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib"},
        {"rowsperstrip": 7},
    ],
)
def test_16_bit_tiff_in_many_layouts(tmp_path, options):
    stored = ramp(dtype=np.uint16)
    array = np.moveaxis(stored, 2, 0) if "planarconfig" in options else stored
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", metadata=None, **options)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, stored)
    assert picture.format == "TIFF"


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("compression", [5, 8])
def test_16_bit_tiff_compressed_by_opencv(tmp_path, compression, predictor):
    stored = ramp(dtype=np.uint16)
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    cv2.imwrite(str(tmp_path / "a.tif"), stored[..., ::-1], flags)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, stored)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (ramp(dtype=np.uint16)[..., 0], {"photometric": "miniswhite"}),
        (ramp(dtype=np.uint16, channels=4), {"photometric": "separated"}),
        (
            ramp(dtype=np.uint16, channels=4),
            {"photometric": "rgb", "extrasamples": ["assocalpha"]},
        ),
    ],
)
def test_other_16_bit_tiffs_are_refused(tmp_path, array, options):
    tifffile.imwrite(tmp_path / "a.tif", array, metadata=None, **options)
    with pytest.raises(PictureError, match=r"a\.tif: this kind of 16-bit TIFF is not supported"):
        read_picture(tmp_path / "a.tif")


def test_float_pixels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ramp().astype(np.float32)[..., 0], metadata=None)
    with pytest.raises(PictureError, match="pixels of kind 'F' are not supported"):
        read_picture(tmp_path / "a.tif")


def test_a_tiff_with_thumbnail_pages_is_one_picture(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ramp(), photometric="rgb", metadata=None)
        file.write(ramp(5, 6), photometric="rgb", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, ramp())


@pytest.mark.parametrize("kind", ["float32", "float64", "uint32"])
def test_a_tiff_of_another_kind_says_what_was_found(tmp_path, kind):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9, 3), kind))
    with pytest.raises(ValueError, match=rf"a\.tif: .*{kind}.*; save it with 8 or 16 bits"):
        read_picture(path)
