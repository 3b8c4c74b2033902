"""Files that cannot be read: damaged, too large, animated, missing; with the exact words."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from edgedeblur.runtimes.pictures.decode import PictureError
from edgedeblur.runtimes.pictures.read import read_picture
from PIL import Image

from tests.runtimes.pictures.support import ramp, save


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
