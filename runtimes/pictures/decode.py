"""Decoding pixels: 8 bits a channel by Pillow, 16 bits by Pillow, twice, or tifffile."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .metadata import PNG_HEADER_BYTES, png_chunks
from .sixteen_bits import decode_both_bytes, decode_png

if TYPE_CHECKING:
    from PIL import Image

# TIFF tags and the values that 16-bit decoding accepts.
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _PREDICTOR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = (
    258, 259, 262, 284, 317, 338, 339,
)  # fmt: skip
_NONE_OR_DEFLATE = (1, 8, 32946)
_MIN_IS_BLACK, _RGB, _PREMULTIPLIED, _UNSIGNED, _INTERLEAVED = 1, 2, 1, 1, 1


class PictureError(ValueError):
    """A picture that cannot be read; the text says what to do."""


class TooManyPixelsError(PictureError):
    """A picture with more pixels than allowed, refused before any is decoded."""


def decode_pixels(
    image: Image.Image, data: bytes, remarks: list[str]
) -> tuple[np.ndarray, bytes | None]:
    """Decode an opened picture, not yet turned upright.

    Args:
        image: Opened by Pillow from ``data``; its ``info`` gains what only ``data`` holds.
        data: The whole file.
        remarks: Gains a line for each conversion that loses something.

    Returns:
        uint8 or uint16 pixels of shape (H, W: grey), (H, W, 2: grey, alpha), (H, W, 3: RGB) or
        (H, W, 4: RGB, alpha), and the ICC profile.

    Raises:
        PictureError: pixels of an unsupported kind, or a file that ends early.
        Exception: whatever a decoder raises on damaged data.
    """
    if _has_16_bits(image, data):
        return _decode_16_bits(image, data)
    return _decode_8_bits(image, remarks)


def tiff_tags(image: Image.Image) -> Mapping[int, Any]:
    """The directory (IFD) of the current page; only a `TiffImageFile` has one."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2")  # noqa: B009 - not on Image.Image
    return tags


def _has_16_bits(image: Image.Image, data: bytes) -> bool:
    """Whether a channel has 16 bits, which Pillow would cut to 8."""
    if image.format == "PNG":
        return data[PNG_HEADER_BYTES - 9] == 16
    if image.format == "TIFF":
        return max(tiff_tags(image).get(_BITS, (1,))) == 16
    return False


def _decode_8_bits(image: Image.Image, remarks: list[str]) -> tuple[np.ndarray, bytes | None]:
    """What Pillow decodes: 8 bits a channel, palettes and transparent colours expanded."""
    image.load()
    icc = image.info.get("icc_profile")
    if image.mode == "CMYK":
        remarks.append("converted from CMYK to sRGB")
        return np.asarray(_cmyk_to_srgb(image, icc)), None
    has_alpha = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        mode = "LA" if has_alpha else "L"
    elif image.mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        mode = "RGBA" if has_alpha else "RGB"
    else:
        raise PictureError(
            f"pixels of kind {image.mode!r} are not supported; save it with 8 or 16 bits a channel"
        )
    if image.mode != mode:
        image = image.convert(mode)
    return np.asarray(image), icc


def _cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc is None:
        return image.convert("RGB")
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    converted = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    if converted is None:
        raise PictureError("its CMYK profile cannot be applied; convert it to sRGB first")
    return converted


def _decode_16_bits(image: Image.Image, data: bytes) -> tuple[np.ndarray, bytes | None]:
    """16 bits a channel, which Pillow would cut to 8."""
    icc = image.info.get("icc_profile")
    if image.format == "PNG":
        chunks = dict(png_chunks(data))
        if b"IEND" not in chunks:
            raise PictureError("damaged or cut off (no end marker); copy the file again")
        image.info.setdefault("exif", chunks.get(b"eXIf"))
        return decode_png(image, data), icc
    tags = tiff_tags(image)
    if (
        tags.get(_PHOTOMETRIC) not in (_MIN_IS_BLACK, _RGB)
        or _PREMULTIPLIED in tags.get(_EXTRA_SAMPLES, ())
        or set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}
    ):
        raise PictureError(
            "this kind of 16-bit TIFF is not supported; save it as grey or RGB, unsigned "
            "integers, alpha not premultiplied"
        )
    simple = tags.get(_COMPRESSION, 1) in _NONE_OR_DEFLATE and tags.get(_PREDICTOR, 1) == 1
    # Planes that are stored one after another are for tifffile.
    if not simple and tags.get(_PLANAR, 1) == _INTERLEAVED:
        return decode_both_bytes(image, data), icc
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        array = np.asarray(page.asarray())
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, 2)
    return array.astype(np.uint16, copy=False), icc
