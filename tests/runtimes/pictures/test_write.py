"""Pictures in, pictures out: what must survive, what must be refused, with the exact words."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from edgedeblur.runtimes.pictures.metadata import Exif, png_chunks, turn_upright, with_png_chunks
from edgedeblur.runtimes.pictures.read import (
    Picture,
    PictureError,
    read_picture,
    what_is_lost,
    write_picture,
)
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def ramp(height=20, width=30, dtype=np.uint8, channels=3):
    """Smooth, so that JPEG keeps it, and asymmetric, so that a wrong turn shows."""
    y, x = np.mgrid[:height, :width]
    planes = [y / height, x / width, (x + 2 * y) / (width + 2 * height), 0.25 + x / width / 2]
    scaled = np.dstack(planes[:channels]) * np.iinfo(dtype).max
    return scaled.round().astype(dtype).squeeze()


def exif_block(orientation=1, width=30, height=20):
    exif = Image.Exif()
    exif[271], exif[306] = "ACME", "2024:05:06 07:08:09"
    if orientation is not None:
        exif[274] = orientation
    exif[0x8769] = {0x829A: 0.02, 0xA002: width, 0xA003: height, 0x927C: b"maker's own notes"}
    exif[0x8825] = {1: "N", 2: (50.0, 10.0, 3.0)}
    return exif.tobytes()


def parsed(block):
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


# --- round trips ---


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


def test_a_grey_picture_that_the_network_tinted_is_written_as_luma(tmp_path):
    tinted = np.zeros((4, 4, 3), np.uint8)
    tinted[...] = (100, 200, 50)
    write_picture(Picture(tinted, grey=True), tmp_path / "a.png")
    # Rec. 601: 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153
    assert np.unique(read_picture(tmp_path / "a.png").pixels).tolist() == [153]


def test_16_bits_are_rounded_for_formats_of_8_and_said_so(tmp_path):
    values = np.array([0, 128, 129, 257, 385, 386, 65406, 65407, 65535], np.uint16)
    picture = Picture(np.repeat(values[None, :, None], 3, axis=2))
    path = tmp_path / "a.bmp"
    assert what_is_lost(picture, path) == [
        "rounded 16 bits to 8, as BMP holds no more; PNG and TIFF do"
    ]
    write_picture(picture, path)
    assert read_picture(path).pixels[0, :, 0].tolist() == [0, 0, 1, 1, 1, 2, 254, 255, 255]


def test_what_is_lost_is_empty_where_nothing_is(tmp_path):
    full = Picture(ramp(), None, False, Exif(exif_block()).upright(), ICC)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        assert what_is_lost(full, tmp_path / f"a{suffix}") == []
    assert what_is_lost(full, tmp_path / "a.bmp") == [
        "left out EXIF and ICC profile, which BMP cannot hold"
    ]


def test_exif_beyond_64_kb_leaves_jpeg_writable(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0x927C: bytes(70000)}
    picture = Picture(ramp(), exif=exif.tobytes()[6:])
    assert what_is_lost(picture, tmp_path / "a.jpg") == [
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


# --- orientation ---


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_agrees_with_pillow(orientation):
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = Image.fromarray(array)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(turn_upright(array, orientation), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "png16", "tif16"])
def test_orientation_is_applied_once_and_reset(tmp_path, orientation, kind):
    path = tmp_path / f"a.{kind.removesuffix('16')}"
    deep = kind.endswith("16")
    stored = ramp(dtype=np.uint16 if deep else np.uint8)
    block = exif_block(orientation)
    if kind == "png16":
        encoded = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
        path.write_bytes(with_png_chunks(encoded, [(b"eXIf", block[6:])]))
    elif kind == "tif16":
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, stored, photometric="rgb", metadata=None, extratags=tags)
    else:
        options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
        save(path, stored, exif=block, **options.get(kind, {}))
    expected = turn_upright(stored, orientation)
    picture = read_picture(path)
    assert picture.pixels.shape == expected.shape
    assert np.abs(picture.pixels.astype(int) - expected).max() <= (4 if kind == "jpg" else 0)
    write_picture(picture, tmp_path / f"out{path.suffix}")
    with Image.open(tmp_path / f"out{path.suffix}") as image:
        assert image.getexif().get(274, 1) == 1
    again = read_picture(tmp_path / f"out{path.suffix}")
    # Written at quality 95; a wrong turn would differ by more than 100.
    tolerance = 14 if kind in ("jpg", "webp") else 0
    assert np.abs(again.pixels.astype(int) - expected).max() <= tolerance
    if kind in ("jpg", "png", "png16"):
        inner = parsed(picture.exif).get_ifd(0x8769)
        sides = (20, 30) if orientation >= 5 else (30, 20)
        assert (inner[0xA002], inner[0xA003]) == sides
        assert inner[0x927C] == b"maker's own notes"


def test_alpha_turns_with_the_pixels(tmp_path):
    stored = ramp(channels=4)
    save(tmp_path / "a.png", stored, exif=exif_block(6))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.alpha, turn_upright(stored[..., 3], 6))


def test_the_old_thumbnail_is_unlinked():
    entry = struct.pack("<HHII", 274, 3, 1, 6)
    first = struct.pack("<H", 1) + entry + struct.pack("<I", 26)
    block = b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<HI", 0, 0)
    exif = Exif(block)
    assert exif.orientation == 6
    upright = exif.upright()
    assert upright[22:26] == bytes(4)
    assert Exif(upright).orientation == 1
    assert upright[:18] + upright[26:] == block[:18] + block[26:]


@pytest.mark.parametrize(
    "block", [b"Exif\0\0junk", b"II*\0", b"II*\0\xff\xff\0\0", b"MM\0*\0\0\0\x08\0\x09"]
)
def test_damaged_exif_is_dropped_with_a_remark(tmp_path, block):
    with pytest.raises(ValueError, match="EXIF"):
        Exif(block)
    save(tmp_path / "a.png", ramp())
    data = with_png_chunks((tmp_path / "a.png").read_bytes(), [(b"eXIf", block)])
    (tmp_path / "a.png").write_bytes(data)
    picture = read_picture(tmp_path / "a.png")
    assert picture.exif is None
    assert picture.remarks[0].startswith("dropped its damaged EXIF (EXIF ")


@pytest.mark.parametrize("deep", [False, True])
def test_exif_behind_the_pixels_of_a_png_is_found(tmp_path, deep):
    stored = ramp(dtype=np.uint16 if deep else np.uint8)
    data = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
    body = exif_block(6)[6:]
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + body))
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, turn_upright(stored, 6))


# --- kinds of pixels ---


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


# --- refusals ---


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_several_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(ramp()), Image.fromarray(255 - ramp())]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    message = (
        "not a JPEG, PNG, WebP, TIFF or BMP picture"
        if suffix == ".gif"
        else "holds 2 frames or pages; only single pictures are supported, so save the one"
    )
    with pytest.raises(PictureError, match=message):
        read_picture(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize(
    "kind", ["jpg", "progressive.jpg", "png", "webp", "tif", "lzw.tif", "bmp", "16.png", "16.tif"]
)
def test_cut_files_are_refused(tmp_path, kind, share):
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    if kind == "16.png":
        cv2.imwrite(str(path), noise.astype(np.uint16) * 257)
    elif kind == "16.tif":
        tifffile.imwrite(path, noise.astype(np.uint16) * 257, photometric="rgb")
    else:
        options = {"progressive.jpg": {"progressive": True}, "lzw.tif": {"compression": "tiff_lzw"}}
        save(path, noise, **options.get(kind, {}))
    read_picture(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(PictureError, match=r"a\..*(damaged or cut off|header is damaged)"):
        read_picture(path)


@pytest.mark.parametrize("deep", [False, True])
def test_a_flipped_byte_in_a_png_is_refused(tmp_path, deep, capfd):
    stored = ramp(200, 200, np.uint16 if deep else np.uint8)
    data = bytearray(cv2.imencode(".png", stored)[1].tobytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError, match="damaged"):
        read_picture(tmp_path / "a.png")


def test_missing_empty_folder_and_text(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such file$"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(OSError, match="is a folder, not a picture"):
        read_picture(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(PictureError, match=r"a\.png: the file is empty; copy it again"):
        read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("hello, I am no picture at all")
    with pytest.raises(
        PictureError,
        match=r"a\.png: not a JPEG, PNG, WebP, TIFF or BMP picture, or its header is damaged",
    ):
        read_picture(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_unreadable(tmp_path):
    path = save(tmp_path / "a.png", ramp())
    path.chmod(0)
    with pytest.raises(OSError, match=r"a\.png: cannot be read \(Permission denied\); check its"):
        read_picture(path)


def test_unreadable_without_a_file_system(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(OSError, match=r"a\.png: cannot be read \(Permission denied\); check its"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (20000, 8000, r"8000x20000 \(HxW\) is 160 megapixels, more than the limit of 150"),
        (60000, 60000, "far too large to decode"),
    ],
)
def test_bombs_are_refused_by_their_header(tmp_path, width, height, message):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(PictureError, match=message):
        read_picture(tmp_path / "a.png")


def test_the_limit_can_be_set(tmp_path):
    path = save(tmp_path / "a.png", ramp())
    assert read_picture(path, max_pixels=600).pixels.shape == (20, 30, 3)
    with pytest.raises(PictureError, match="megapixels"):
        read_picture(path, max_pixels=599)


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


def test_png_chunks_stop_at_a_cut():
    stream = io.BytesIO()
    Image.fromarray(ramp()).save(stream, "PNG")
    names = [name for name, _ in png_chunks(stream.getvalue())]
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"
    assert b"IEND" not in [name for name, _ in png_chunks(stream.getvalue()[:-1])]


@pytest.mark.parametrize("kind", ["float32", "float64", "uint32"])
def test_a_tiff_of_another_kind_says_what_was_found(tmp_path, kind):
    import tifffile

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9, 3), kind))
    with pytest.raises(ValueError, match=rf"a\.tif: .*{kind}.*; save it with 8 or 16 bits"):
        read_picture(path)
