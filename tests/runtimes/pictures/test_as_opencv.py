"""Reading, tiling and writing do without OpenCV, and give the same values to the last bit."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from edgedeblur.runtimes.pictures.metadata import Picture
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.tiling import _accumulate, _denormalise, _normalise, _pad
from edgedeblur.runtimes.pictures.write import write_picture
from PIL import Image

PNG_STARTS = [
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
]  # fmt: skip - the seven passes of Adam7: first row, column, and steps


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_every_kind_of_16_bit_png_as_opencv_reads_it(tmp_path, kind, channels, clear, interlaced):
    rng = np.random.default_rng(kind)
    stored = rng.integers(0, 65536, (21, 33, channels), dtype=np.uint16)
    passes = [stored[y::down, x::right] for y, x, down, right in PNG_STARTS]
    lines = [b"\0" + row.tobytes() for part in (passes if interlaced else [stored])
             for row in part.astype(">u2")]  # fmt: skip
    header = struct.pack(">IIBBBBB", 33, 21, 16, kind, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    if clear and kind in (0, 2):
        chunks.insert(1, (b"tRNS", stored[3, 4].astype(">u2").tobytes()))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ))  # fmt: skip
    wanted = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    picture = read_picture(path)
    if wanted.ndim == 2:
        np.testing.assert_array_equal(picture.pixels[..., 1], wanted)
        return
    np.testing.assert_array_equal(picture.pixels, wanted[..., 2::-1])
    assert (picture.alpha is not None) == (wanted.shape[2] == 4)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, wanted[..., 3])
        assert not clear or kind != 2 or picture.alpha[3, 4] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_opencvs_luma(tmp_path, dtype):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, np.iinfo(dtype).max, (64, 64, 3), dtype=dtype)
    write_picture(Picture(pixels, grey=True), tmp_path / "a.png")
    wanted = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels[..., 0], wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_compressed_16_bit_tiff_is_turned_once(tmp_path, orientation):
    rng = np.random.default_rng(orientation)
    stored = rng.integers(0, 65536, (7, 9, 3), dtype=np.uint16)
    path, turned = tmp_path / "a.tif", tmp_path / "b.tif"
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, 5]  # LZW
    assert cv2.imwrite(str(path), stored[..., ::-1], flags)
    with Image.open(path) as image:  # the same file with the tag: what OpenCV wrote has none
        assert 274 not in image.tag_v2
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = bytes(data[at + 2 : at + 2 + 12 * count])
    fields = [entries[i : i + 12] for i in range(0, len(entries), 12)]
    fields.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    directory = struct.pack("<H", len(fields)) + b"".join(sorted(fields, key=lambda f: f[1::-1]))
    struct.pack_into("<I", data, 4, len(data))
    turned.write_bytes(bytes(data) + directory + bytes(4))
    wanted = stored
    if orientation >= 5:
        wanted = wanted.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        wanted = wanted[::-1]
    if orientation in (2, 3, 6, 7):
        wanted = wanted[:, ::-1]
    np.testing.assert_array_equal(read_picture(turned).pixels, wanted)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_as_the_network_takes_it(dtype):
    most = np.iinfo(dtype).max
    levels = np.arange(most + 1, dtype=dtype).reshape(16, -1)
    part = np.dstack([levels, levels[::-1], levels[:, ::-1]])
    planes = np.empty((3, *levels.shape), np.float32)
    _normalise(part, planes)
    for channel, plane in zip(cv2.split(part), planes, strict=True):
        wanted = cv2.addWeighted(channel, 2 / most, channel, 0.0, -1.0, dtype=cv2.CV_32F)
        np.testing.assert_array_equal(plane, wanted)
    np.testing.assert_allclose(planes[0], levels / (most / 2) - 1, rtol=0, atol=2e-7)
    assert (planes.min(), planes.max()) == pytest.approx((-1.0, 1.0), abs=2e-7)


@pytest.mark.parametrize(("dtype", "depth"), [(np.uint8, cv2.CV_8U), (np.uint16, cv2.CV_16U)])
def test_rounding_back_denormalise(dtype, depth):
    rng = np.random.default_rng(0)
    half = np.iinfo(dtype).max / 2
    planes = rng.normal(0.0, 0.7, (3, 100, 1000)).astype(np.float32)  # some beyond the range
    planes[0, 0] = (rng.integers(0, np.iinfo(dtype).max, 1000) + 0.5) / half - 1.0  # near ties
    part = np.empty((100, 1000, 3), dtype)
    _denormalise(planes, part)
    for channel, plane in zip(cv2.split(part), planes, strict=True):
        wanted = cv2.addWeighted(plane, half, plane, 0.0, half, dtype=depth)
        np.testing.assert_array_equal(channel, wanted)


def test_blending_adds_as_opencv_does():
    rng = np.random.default_rng(0)
    tile = rng.uniform(-1, 1, (3, 50, 70)).astype(np.float32)
    weights = rng.uniform(0, 1, (50, 70)).astype(np.float32)
    band = rng.uniform(-1, 1, (3, 50, 100)).astype(np.float32)
    wanted = band.copy()
    for plane, total in zip(tile, wanted, strict=True):
        part = np.ascontiguousarray(total[:, 10:80])
        cv2.accumulateProduct(plane, weights, part)
        total[:, 10:80] = part
    _accumulate(tile, weights, band[:, :, 10:80])
    np.testing.assert_array_equal(band, wanted)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (33, 64)])
def test_padding_reflects_as_opencv_does(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    padded = _pad(picture, (64, 96))
    bottom, right = 64 - size[0], 96 - size[1]
    wanted = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(padded, wanted)
