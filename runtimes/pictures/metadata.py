"""A picture in memory, and its metadata: EXIF, orientation, PNG chunks. Decodes no pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

EXIF_PREFIX = b"Exif\0\0"  # in JPEG only; elsewhere the TIFF structure stands alone
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER_BYTES = 33  # signature (8) and the IHDR chunk (4 + 4 + 13 + 4), which comes first

ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
EXIF_WIDTH, EXIF_HEIGHT = 0xA002, 0xA003
SHORT, LONG = 3, 4  # TIFF field types
# The tags of a TIFF's main directory that describe the photograph, not how it is stored:
# ImageDescription, Make, Model, X/YResolution, ResolutionUnit, Software, DateTime, Artist,
# Copyright.
DESCRIPTIVE_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)


@dataclass(frozen=True)
class Picture:
    r"""One still picture, upright.

    Attributes:
        pixels: uint8 or uint16 (H, W, 3), RGB; a grey picture has three equal channels.
        alpha: (H, W) of the same dtype, not premultiplied, or None.
        grey: Whether the file was grey; if so, it is written as grey.
        exif: The EXIF block as TIFF structure (no ``Exif\0\0`` before it), orientation 1.
        icc: The ICC profile.
        format: ``JPEG``, ``PNG``, ``WEBP``, ``TIFF`` or ``BMP``, by the file's content.
        remarks: What was lost or converted while reading, one line each for the user.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    exif: bytes | None = None
    icc: bytes | None = None
    format: str = "PNG"
    remarks: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """Bits a channel: 8 or 16."""
        return self.pixels.dtype.itemsize * 8


class Exif:
    """Edits an EXIF block in place, so that maker notes and unknown tags stay byte for byte."""

    def __init__(self, block: bytes) -> None:
        """Raises ValueError if ``block`` is not a TIFF structure with a readable directory."""
        self._data = bytearray(block.removeprefix(EXIF_PREFIX))
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(self._data[:4]))
        if order is None or len(self._data) < 8:
            raise ValueError("EXIF does not start with a TIFF header")
        self._order = order
        self._main, self._next_at = self._directory(self._read("I", 4))
        if not self._main:
            raise ValueError("EXIF has no readable directory")

    @property
    def orientation(self) -> int:
        """1 to 8 as in the EXIF standard; 1 where the tag is missing or holds something else."""
        value = self._value(self._main.get(ORIENTATION))
        return value if value is not None and 1 <= value <= 8 else 1

    def upright(self) -> bytes:
        """The block for upright pixels: orientation 1, width and height to match, no thumbnail.

        The thumbnail shows the blurry picture, so the pointer to its directory is cleared.
        """
        turned = self.orientation >= 5
        if ORIENTATION in self._main:
            self._set(self._main[ORIENTATION], 1)
        if self._next_at is not None:
            struct.pack_into(self._order + "I", self._data, self._next_at, 0)
        pointer = self._value(self._main.get(EXIF_IFD))
        if turned and pointer is not None:
            inner, _ = self._directory(pointer)
            width, height = (self._value(inner.get(tag)) for tag in (EXIF_WIDTH, EXIF_HEIGHT))
            if width is not None and height is not None:
                self._set(inner[EXIF_WIDTH], height)
                self._set(inner[EXIF_HEIGHT], width)
        return bytes(self._data)

    def _directory(self, at: int) -> tuple[dict[int, int], int | None]:
        """Tag -> offset of its entry, and the offset of the pointer to the next directory."""
        if at + 2 > len(self._data):
            return {}, None
        count = self._read("H", at)
        end = at + 2 + 12 * count
        if end > len(self._data):
            return {}, None
        entries = range(at + 2, end, 12)
        return {self._read("H", e): e for e in entries}, end if end + 4 <= len(self._data) else None

    def _value(self, entry: int | None) -> int | None:
        """A single SHORT or LONG, or None."""
        if entry is None:
            return None
        kind = self._read("H", entry + 2)
        return self._read({SHORT: "H", LONG: "I"}[kind], entry + 8) if kind in (3, 4) else None

    def _set(self, entry: int, value: int) -> None:
        # As LONG, which holds any side; the value field has four bytes for every type.
        struct.pack_into(self._order + "H", self._data, entry + 2, LONG)
        struct.pack_into(self._order + "I", self._data, entry + 8, value)
        if self._read("H", entry) == ORIENTATION:  # the standard allows only SHORT here
            struct.pack_into(self._order + "H", self._data, entry + 2, SHORT)
            struct.pack_into(self._order + "HH", self._data, entry + 8, value, 0)

    def _read(self, code: str, at: int) -> int:
        return struct.unpack_from(self._order + code, self._data, at)[0]


def apply_orientation(array: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and flip (H, W) or (H, W, C) by an EXIF orientation of 1 to 8."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each complete chunk; a truncated file yields no ``IEND``."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk as it lies in the file: length, name, body, checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_png_chunks(data: bytes, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Insert chunks directly after the header, where ICC profiles must be."""
    inserted = b"".join(png_chunk(name, body) for name, body in chunks)
    return data[:PNG_HEADER_BYTES] + inserted + data[PNG_HEADER_BYTES:]


def exif_of_tiff(image: Image.Image) -> bytes | None:
    """The EXIF block of an opened TIFF: descriptive tags, Exif and GPS; None if it has none."""
    from PIL import Image as Pillow

    source, kept = image.getexif(), Pillow.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in source:
            kept[tag] = source[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        inner = dict(source.get_ifd(tag))
        inner.pop(INTEROP_IFD, None)  # a pointer into the old file
        if inner:
            kept[tag] = inner
    return kept.tobytes().removeprefix(EXIF_PREFIX) if len(kept) else None


def tiff_tags_of(exif: bytes) -> dict[int, Any]:
    """The entries of an EXIF block that a TIFF stores in its directories.

    Values are Pillow's; the Exif and GPS directories are nested dictionaries.
    """
    from PIL import Image as Pillow

    source = Pillow.Exif()
    source.load(EXIF_PREFIX + exif)
    tags: dict[int, Any] = {t: source[t] for t in DESCRIPTIVE_TAGS if t in source}
    for tag in (EXIF_IFD, GPS_IFD):
        inner = dict(source.get_ifd(tag))
        inner.pop(INTEROP_IFD, None)
        if inner:
            tags[tag] = inner
    return tags
