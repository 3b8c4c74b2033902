"""What each format keeps, read back by us and by others; and what cannot be written."""

import struct

import cv2
import numpy as np
import pytest
import tifffile
from edgedeblur.runtimes.pictures.metadata import Exif, Picture
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.write import lost_in_format, write_picture
from PIL import Image, TiffImagePlugin

from tests.runtimes.pictures.support import ICC, exif_block, parsed, ramp, save


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("clear", [False, True])
def test_lossless_formats_keep_everything(tmp_path, suffix, dtype, grey, clear):
    pixels = ramp(dtype=dtype)
    if grey:
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    alpha = ramp(dtype=dtype, channels=4)[..., 3] if clear else None
    block = Exif(exif_block()).upright()
    path = tmp_path / f"picture{suffix}"
    write_picture(Picture(pixels, alpha, grey, block, ICC), path)
    back = read_picture(path)
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.pixels.dtype == dtype
    assert back.bits == np.dtype(dtype).itemsize * 8
    assert back.icc == ICC
    assert parsed(back.exif)[271] == "ACME"
    assert parsed(back.exif).get_ifd(0x8769)[0x927C] == b"maker's own notes"
    assert parsed(back.exif).get_ifd(0x8825)[2] == (50.0, 10.0, 3.0)
    if suffix == ".png":
        assert back.exif == block
    if clear:
        np.testing.assert_array_equal(back.alpha, alpha)
    else:
        assert back.alpha is None
    # The stated limit: 16-bit grey with alpha is stored as colour.
    assert back.grey == (grey and not (clear and dtype == np.uint16))


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".webp", "WEBP")])
def test_lossy_formats_keep_the_metadata(tmp_path, suffix, kind):
    block = Exif(exif_block()).upright()
    path = tmp_path / f"picture{suffix}"
    write_picture(Picture(ramp(), None, False, block, ICC), path)
    back = read_picture(path)
    assert (back.format, back.exif, back.icc) == (kind, block, ICC)
    assert np.abs(back.pixels.astype(int) - ramp()).max() <= 12


def test_jpeg_is_written_without_chroma_subsampling(tmp_path):
    write_picture(Picture(ramp()), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_quality_matters(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write_picture(Picture(noise), tmp_path / "low.jpg", quality=20)
    write_picture(Picture(noise), tmp_path / "high.jpg")
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "high.jpg").stat().st_size / 2


def test_grey_jpeg_and_bmp_come_back_grey(tmp_path):
    for suffix in (".jpg", ".bmp"):
        pixels = np.repeat(ramp()[..., :1], 3, axis=2)
        write_picture(Picture(pixels, grey=True), tmp_path / f"a{suffix}")
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert image.mode == "L"
        back = read_picture(tmp_path / f"a{suffix}")
        assert back.grey
        assert (back.pixels[..., 0] == back.pixels[..., 2]).all()


def test_a_tinted_grey_picture_is_written_as_luma(tmp_path):
    tinted = np.zeros((4, 4, 3), np.uint8)
    tinted[...] = (100, 200, 50)
    write_picture(Picture(tinted, grey=True), tmp_path / "a.png")
    # Rec. 601: 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153
    assert np.unique(read_picture(tmp_path / "a.png").pixels).tolist() == [153]


def test_16_bits_are_rounded_for_8_bit_formats_with_a_remark(tmp_path):
    values = np.array([0, 128, 129, 257, 385, 386, 65406, 65407, 65535], np.uint16)
    picture = Picture(np.repeat(values[None, :, None], 3, axis=2))
    path = tmp_path / "a.bmp"
    assert lost_in_format(picture, path) == [
        "rounded 16 bits to 8, as BMP holds no more; PNG and TIFF do"
    ]
    write_picture(picture, path)
    assert read_picture(path).pixels[0, :, 0].tolist() == [0, 0, 1, 1, 1, 2, 254, 255, 255]


def test_what_is_lost_is_empty_where_nothing_is(tmp_path):
    full = Picture(ramp(), None, False, Exif(exif_block()).upright(), ICC)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        assert lost_in_format(full, tmp_path / f"a{suffix}") == []
    assert lost_in_format(full, tmp_path / "a.bmp") == [
        "left out EXIF and ICC profile, which BMP cannot hold"
    ]


def test_exif_beyond_64_kb_leaves_jpeg_writable(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0x927C: bytes(70000)}
    picture = Picture(ramp(), exif=exif.tobytes()[6:])
    assert lost_in_format(picture, tmp_path / "a.jpg") == [
        "left out EXIF, as JPEG holds 64 KB of it at most"
    ]
    write_picture(picture, tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").exif is None


def test_a_written_tiff_is_read_alike_by_others(tmp_path):
    pixels = ramp(dtype=np.uint16)
    write_picture(Picture(pixels, exif=Exif(exif_block()).upright(), icc=ICC), tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)
    by_opencv = cv2.imread(str(tmp_path / "a.tif"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(by_opencv[..., ::-1], pixels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].tags["Make"].value == "ACME"
        assert file.pages[0].tags["ExifTag"].value["MakerNote"] == b"maker's own notes"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", r"a\.gif: cannot write '\.gif'; use one of \.jpg, \.jpeg, \.png"),
        ("a", "a: cannot write 'no ending'; use one of"),
        ("a.jpg", r"a\.jpg: JPEG cannot hold transparency; use \.png, \.webp or \.tif"),
        ("a.bmp", r"a\.bmp: BMP cannot hold transparency"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, message):
    picture = Picture(ramp(), np.zeros((20, 30), np.uint8))
    with pytest.raises(ValueError, match=message):
        write_picture(picture, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_opaque_alpha_may_be_left_out(tmp_path):
    write_picture(Picture(ramp(), np.full((20, 30), 255, np.uint8)), tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").alpha is None


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range(tmp_path, quality):
    with pytest.raises(ValueError, match=f"quality must be 1 to 100, not {quality}"):
        write_picture(Picture(ramp()), tmp_path / "a.jpg", quality=quality)


def test_sides_beyond_the_format(tmp_path):
    picture = Picture(np.zeros((1, 16384, 3), np.uint8))
    with pytest.raises(ValueError, match=r"WEBP holds 16383 pixels a side, not 1x16384; use \.png"):
        write_picture(picture, tmp_path / "a.webp")


def test_exif_that_tiff_cannot_hold(tmp_path, monkeypatch):
    def fail(*_):
        raise struct.error("no way")

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "save", fail)
    with pytest.raises(
        ValueError, match=r"a\.tif: TIFF cannot hold its EXIF \(no way\); use \.png"
    ):
        write_picture(Picture(ramp()), tmp_path / "a.tif")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", ramp())
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"cannot write .*a\.png \(No space left on device\)"):
        write_picture(Picture(255 - ramp()), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
