"""16-bit colour out of Pillow, which decodes it but has no kind of image to hold it in.

Pillow keeps one byte of each 16-bit sample; which one is chosen by the raw mode: ``RGB;16B`` keeps
the first, ``RGB;16L`` the second. Decoding twice gives both, at Pillow's speed and with its checks.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .metadata import PNG_HEADER_BYTES, PNG_SIGNATURE, png_chunk

if TYPE_CHECKING:
    from PIL import Image

_GREY_ALPHA, _RGBA = 4, 6  # colour types of PNG
_DEPTH_AT, _KIND_AT = 24, 25  # in the file


def decode_png(image: Image.Image, data: bytes) -> np.ndarray:
    """uint16 (H, W), (H, W, 3) or (H, W, 4) of an opened 16-bit PNG; grey with alpha as RGBA.

    Raises:
        Exception: of any kind, on damaged bytes.
    """
    if data[_KIND_AT] == _GREY_ALPHA:
        return _grey_alpha(data)
    array = decode_both_bytes(image, data)
    clear = image.info.get("transparency")  # the one colour that means "nothing here"
    if clear is None or array.ndim == 2 or array.shape[2] == 4:
        return array
    alpha = np.where((array == np.asarray(clear, np.uint16)).all(axis=2), 0, 65535)
    return np.dstack([array, alpha.astype(np.uint16)])


def decode_both_bytes(image: Image.Image, data: bytes) -> np.ndarray:
    """uint16 (H, W), (H, W, 3) or (H, W, 4) of an opened 16-bit PNG or TIFF, which gets loaded.

    Raises:
        Exception: of any kind, on damaged bytes.
    """
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    from PIL import Image as Pillow

    arguments = _tiles(image)[0].args
    raw = str(arguments if isinstance(arguments, str) else arguments[0])
    # libtiff hands samples over in the machine's own order, which a PC has small end first.
    order = raw.rpartition(";16")[2]
    little = order == "L" or (order == "N" and np.little_endian)
    again = Pillow.open(io.BytesIO(data), formats=(image.format or "",))
    high = _one_byte(image, raw, "L" if little else "B")
    low = _one_byte(again, raw, "B" if little else "L")
    return high.astype(np.uint16) << 8 | low


def _one_byte(image: Image.Image, raw: str, order: str) -> np.ndarray:
    wanted = raw[:-1] + order
    tiles = [
        tile._replace(args=wanted if isinstance(tile.args, str) else (wanted, *tile.args[1:]))
        for tile in _tiles(image)
    ]
    setattr(image, "tile", tiles)  # noqa: B010 - as `_tiles`
    image.load()
    return np.asarray(image)


def _tiles(image: Image.Image) -> Sequence[Any]:
    """What Pillow is about to decode, and how; only images from files have it."""
    return getattr(image, "tile")  # noqa: B009 - not on Image.Image


def _grey_alpha(data: bytes) -> np.ndarray:
    """Told that the four bytes of a pixel are 8-bit RGBA, Pillow leaves them alone."""
    from PIL import Image as Pillow

    header = bytearray(data[len(PNG_SIGNATURE) + 8 : PNG_HEADER_BYTES - 4])
    header[8:10] = 8, _RGBA
    patched = PNG_SIGNATURE + png_chunk(b"IHDR", bytes(header)) + data[PNG_HEADER_BYTES:]
    four = np.asarray(Pillow.open(io.BytesIO(patched), formats=("PNG",))).astype(np.uint16)
    grey, alpha = (four[..., i] << 8 | four[..., i + 1] for i in (0, 2))
    return np.dstack([grey, grey, grey, alpha])
