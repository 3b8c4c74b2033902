"""Orientation, EXIF and PNG chunks."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from edgedeblur.runtimes.pictures.metadata import (
    Exif,
    apply_orientation,
    png_chunks,
    with_png_chunks,
)
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.write import write_picture
from PIL import Image, ImageOps

from tests.runtimes.pictures.support import exif_block, parsed, ramp, save


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_agrees_with_pillow(orientation):
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = Image.fromarray(array)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(apply_orientation(array, orientation), expected)


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
    expected = apply_orientation(stored, orientation)
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
    np.testing.assert_array_equal(picture.alpha, apply_orientation(stored[..., 3], 6))


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
    np.testing.assert_array_equal(picture.pixels, apply_orientation(stored, 6))


def test_png_chunks_stop_at_a_cut():
    stream = io.BytesIO()
    Image.fromarray(ramp()).save(stream, "PNG")
    names = [name for name, _ in png_chunks(stream.getvalue())]
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"
    assert b"IEND" not in [name for name, _ in png_chunks(stream.getvalue()[:-1])]
