"""Encoding and writing pictures; `read` has the table of what each format keeps."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing
from .metadata import (
    EXIF_PREFIX,
    PNG_SIGNATURE,
    Picture,
    png_chunk,
    tiff_tags_of,
    with_png_chunks,
)

WRITABLE = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
_WITH_16_BITS = ("PNG", "TIFF")
_WITHOUT_ALPHA = ("JPEG", "BMP")
_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383}  # libjpeg's and WebP's own limits
_LUMA = (9798, 19235, 3735)  # 0.299, 0.587, 0.114 of 2^15
_PNG_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # samples a pixel -> colour type
_PNG_ROWS = 256
_FILTER_SUB = 1  # each byte less the same byte of the pixel before
# A JPEG segment counts its bytes in 16 bits, two of them for the count itself.
_JPEG_EXIF_BYTES = 65533 - len(EXIF_PREFIX)


def format_of(path: Path) -> str:
    """The format of a file name's ending.

    Raises:
        ValueError: a format that cannot be written, or no ending.
    """
    kind = WRITABLE.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(WRITABLE)
        raise ValueError(f"{path}: cannot write {path.suffix or 'no ending'!r}; use one of {known}")
    return kind


def lost_in_format(picture: Picture, path: Path) -> list[str]:
    """What `write_picture` cannot keep in the format of ``path``, one line each."""
    kind = format_of(path)
    lost: list[str] = []
    if picture.bits == 16 and kind not in _WITH_16_BITS:
        lost.append(f"rounded 16 bits to 8, as {kind} holds no more; PNG and TIFF do")
    if kind == "BMP" and (picture.exif or picture.icc):
        lost.append("left out EXIF and ICC profile, which BMP cannot hold")
    if kind == "JPEG" and picture.exif and len(picture.exif) > _JPEG_EXIF_BYTES:
        lost.append("left out EXIF, as JPEG holds 64 KB of it at most")
    return lost


def write_picture(picture: Picture, path: str | Path, quality: int = 95) -> None:
    """Write ``picture`` atomically, in the format of the ending of ``path``.

    Args:
        picture: As for `encode_picture`.
        path: An existing file is replaced.
        quality: As for `encode_picture`.

    Raises:
        ValueError: see `encode_picture`.
        OSError: the file cannot be written; the old one stays.
    """
    data = encode_picture(picture, Path(path), quality)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)


def encode_picture(picture: Picture, path: Path, quality: int = 95) -> bytes:
    """Encode ``picture`` in the format of the ending of ``path``; writes nothing.

    Args:
        picture: Upright; 16-bit pixels are rounded to 8 bits for JPEG, WebP and BMP, which
            `lost_in_format` reports.
        path: Only its name is used.
        quality: 1 to 100, for JPEG (4:4:4) and WebP (lossy); the others are lossless.

    Raises:
        ValueError: unknown ending, transparency in a format without it, sides beyond the
            format's limit, or a quality outside 1..100.
    """
    kind = format_of(path)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be 1 to 100, not {quality}")
    height, width = picture.pixels.shape[:2]
    if max(height, width) > _MAX_SIDE.get(kind, max(height, width)):
        raise ValueError(
            f"{path}: {kind} holds {_MAX_SIDE[kind]} pixels a side, not {height}x{width}; use .png"
        )
    array = _channels(picture, path, kind)
    if kind == "PNG":
        return _png(array, picture)
    if kind == "TIFF":
        return _tiff(array, picture, path)
    return _by_pillow(array, picture, kind, quality)


def _channels(picture: Picture, path: Path, kind: str) -> np.ndarray:
    """Pixels as the format stores them: (H, W), (H, W, 2: grey, alpha), (H, W, 3) or (H, W, 4)."""
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and kind in _WITHOUT_ALPHA:
        if alpha.min() < np.iinfo(alpha.dtype).max:
            raise ValueError(f"{path}: {kind} cannot hold transparency; use .png, .webp or .tif")
        alpha = None
    # Rec. 601 luma: leaves equal channels unchanged, and removes a tint that the network added.
    array = _luma(pixels) if picture.grey else pixels
    if alpha is not None:
        array = np.dstack([array, alpha])
    if array.dtype == np.uint16 and kind not in _WITH_16_BITS:
        # To nearest: 65535 = 255 * 257.
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype == np.uint16 and array.ndim == 3 and array.shape[2] == 2:
        array = array[..., [0, 0, 0, 1]]  # few programs read 16-bit grey with alpha
    return array


def _luma(pixels: np.ndarray) -> np.ndarray:
    """Rec. 601 luma of (H, W, 3), in the 15-bit integers that OpenCV takes too."""
    total = np.full(pixels.shape[:2], 1 << 14, np.uint32)
    for channel, weight in enumerate(_LUMA):
        total += pixels[..., channel] * np.uint32(weight)
    return (total >> 15).astype(pixels.dtype)


def _by_pillow(array: np.ndarray, picture: Picture, kind: str, quality: int) -> bytes:
    from PIL import Image

    options: dict[str, Any] = {}
    if kind != "BMP":
        exif = picture.exif or b""
        if kind == "JPEG":
            exif = EXIF_PREFIX + exif if 0 < len(exif) <= _JPEG_EXIF_BYTES else b""
        options = {"quality": quality, "icc_profile": picture.icc, "exif": exif}
    if kind == "JPEG":
        options["subsampling"] = 0  # 4:4:4: chroma subsampling would blur colour edges again
    elif kind == "WEBP":
        options["method"] = 1  # the default, 4, takes twice as long and files are no smaller
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def _png(array: np.ndarray, picture: Picture) -> bytes:
    chunks: list[tuple[bytes, bytes]] = []
    if picture.icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc)))
    if picture.exif:
        chunks.append((b"eXIf", picture.exif))
    return with_png_chunks(_png_pixels(array), chunks)


def _png_pixels(array: np.ndarray) -> bytes:
    """A PNG without metadata: 8 or 16 bits, grey, grey with alpha, RGB or RGBA.

    On photographs run lengths over the "sub" filter take half the time of deflate's own search
    at level 1 and give no larger files.
    """
    height, width = array.shape[:2]
    samples = 1 if array.ndim == 2 else array.shape[2]
    step = samples * array.dtype.itemsize  # bytes a pixel
    header = struct.pack(
        ">IIBBBBB", width, height, array.dtype.itemsize * 8, _PNG_KINDS[samples], 0, 0, 0
    )
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed: list[bytes] = []
    for top in range(0, height, _PNG_ROWS):  # in pieces, so that the filtered copy stays small
        rows = array[top : top + _PNG_ROWS]
        big_endian = np.ascontiguousarray(rows, array.dtype.newbyteorder(">"))
        raw = big_endian.view(np.uint8).reshape(len(rows), -1)
        lines = np.empty((len(rows), 1 + raw.shape[1]), np.uint8)
        lines[:, 0] = _FILTER_SUB
        lines[:, 1 : 1 + step] = raw[:, :step]
        np.subtract(raw[:, step:], raw[:, :-step], out=lines[:, 1 + step :])
        packed.append(deflate.compress(lines.data))
    packed.append(deflate.flush())
    chunks = [(b"IHDR", header), (b"IDAT", b"".join(packed)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(name, body) for name, body in chunks)


def _tiff(array: np.ndarray, picture: Picture, path: Path) -> bytes:
    """One uncompressed little-endian strip, which every TIFF reader supports."""
    from PIL import TiffImagePlugin

    samples = 1 if array.ndim == 2 else array.shape[2]
    tags: dict[int, Any] = {
        256: array.shape[1],
        257: array.shape[0],
        258: (array.dtype.itemsize * 8,) * samples,
        259: 1,  # compression: none
        262: 1 if samples <= 2 else 2,  # 0 is black, or RGB
        273: 0,  # strip offset; Pillow's directory adds its own length
        277: samples,
        278: array.shape[0],
        279: array.nbytes,
        284: 1,  # interleaved samples
        339: (1,) * samples,  # unsigned integers
    }
    if samples in (2, 4):
        tags[338] = 2  # alpha, not premultiplied
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[273] = 4
    if picture.icc:
        directory.tagtype[34675] = 7
        tags[34675] = picture.icc
    stream = io.BytesIO()
    try:
        for tag, value in {**(tiff_tags_of(picture.exif) if picture.exif else {}), **tags}.items():
            directory[tag] = value
        directory.save(stream)
    except (struct.error, SyntaxError, TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: TIFF cannot hold its EXIF ({error}); use .png") from error
    stream.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return stream.getvalue()
