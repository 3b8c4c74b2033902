"""Reading still pictures without losing bit depth, alpha, orientation, EXIF or ICC profile.

| format | bits a channel | alpha | EXIF | ICC | read | written |
|---|---|---|---|---|---|---|
| JPEG | 8 | - | yes | yes | grey, colour, CMYK | grey, colour; 4:4:4 |
| PNG | 8, 16 | yes | yes | yes | all kinds | grey, colour; lossless |
| WebP | 8 | yes | yes | yes | lossy, lossless | colour; lossy |
| TIFF | 8, 16 | yes | yes | yes | see below | grey, colour; uncompressed |
| BMP | 8 | - | - | - | all kinds | grey, colour |

Limits. One picture a file: animations and multi-page files are refused (of a camera's MPO the first
picture is read, with a remark). Of a 16-bit TIFF: grey, RGB or RGBA, alpha not premultiplied.
Interoperability tags inside EXIF do not survive in TIFF, nor do maker notes whose addresses point
outside themselves. XMP and IPTC are not kept. Palettes become RGB, and 16-bit grey
with alpha becomes 16-bit RGBA. CMYK is converted to sRGB through the profile in the file.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .decode import PictureError, TooManyPixelsError, decode_pixels, tiff_tags
from .metadata import ORIENTATION, Exif, Picture, apply_orientation, exif_of_tiff

if TYPE_CHECKING:
    from PIL import Image

READABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# Larger than any camera's sensor, small enough for 2 GB of memory: 150 MP is 450 MB in 8 bits.
MAX_PIXELS = 150_000_000
_SUBFILE_TYPE = 254  # TIFF tag; bit 0: a reduced-resolution version of another page
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_SUPPORTED = "JPEG, PNG, WebP, TIFF or BMP"


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one still picture; its content decides the format, not its name.

    Args:
        path: The file.
        max_pixels: Refuse larger pictures, from the header alone, before decoding.

    Returns:
        The upright picture; see `Picture`.

    Raises:
        FileNotFoundError: no such file.
        OSError: the file cannot be opened, or is a folder.
        PictureError: see `picture_from`.
    """
    return picture_from(read_bytes(Path(path)), path, max_pixels)


def picture_from(data: bytes, name: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one still picture from the bytes of its file.

    Args:
        data: The whole file.
        name: What messages call it.
        max_pixels: As for `read_picture`.

    Raises:
        TooManyPixelsError: larger than ``max_pixels``.
        PictureError: empty, cut off, damaged, not a picture, too large, animated, or of a kind
            that is not in the module's table.
    """
    path = str(name)
    if not data:
        raise PictureError(f"{path}: the file is empty; copy it again")
    with warnings.catch_warnings():
        # Pillow warns about sizes that max_pixels allows, and about EXIF that is checked below.
        warnings.simplefilter("ignore")
        image = _open(path, data)
        remarks = _check_header(path, image, max_pixels)
        try:
            array, icc = decode_pixels(image, data, remarks)
            # After decoding: a PNG may hold its EXIF after the pixels, and Pillow applies a TIFF's
            # orientation itself.
            orientation, exif = _exif_of(image, remarks)
        except (PictureError, MemoryError) as error:
            raise type(error)(f"{path}: {error}") from error
        # Four libraries decode, and each raises its own exceptions on damaged data.
        except Exception as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise PictureError(
                f"{path}: damaged or cut off ({detail}); copy the file again"
            ) from error
    return _assemble(apply_orientation(array, orientation), image.format or "", exif, icc, remarks)


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        FileNotFoundError: no such file.
        OSError: it cannot be opened, or is a folder.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{path}: is a folder, not a picture") from error
    except OSError as error:
        raise OSError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error


def _open(path: str, data: bytes) -> Image.Image:
    """Parse the header by Pillow; no pixel is decoded yet."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(f"{path}: far too large to decode ({error})") from error
    except Exception as error:  # a header parser may raise anything on random bytes
        if kind := _sample_type_of_tiff(data):
            raise PictureError(
                f"{path}: a TIFF with {kind} samples; save it with 8 or 16 bits a channel"
            ) from error
        raise PictureError(
            f"{path}: not a {_SUPPORTED} picture, or its header is damaged; "
            "convert it to one of these"
        ) from error


def _sample_type_of_tiff(data: bytes) -> str:
    """The dtype of a TIFF that Pillow cannot open (float32 RGB, for example); else empty."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return ""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return str(np.dtype(file.pages[0].dtype))
    except Exception:  # noqa: BLE001 - damaged data again: not a TIFF
        return ""


def _check_header(path: str, image: Image.Image, max_pixels: int) -> list[str]:
    """Refuse pictures that are too large or have several frames; returns remarks."""
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"{path}: {height}x{width} (HxW) is {width * height / 1e6:.0f} megapixels, more than "
            f"the limit of {max_pixels / 1e6:.0f}; scale it down or cut it into parts"
        )
    if image.format == "MPO":
        image.format = "JPEG"
        return ["holds several pictures (MPO); took the first and dropped the others"]
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and not (image.format == "TIFF" and _only_thumbnails(image, frames)):
        raise PictureError(
            f"{path}: holds {frames} frames or pages; only single pictures are supported, "
            "so save the one you want by itself"
        )
    return []


def _only_thumbnails(image: Image.Image, frames: int) -> bool:
    """Whether all pages of a TIFF but the first are marked as reduced-resolution versions."""
    reduced: list[bool] = []
    for page in range(1, frames):
        image.seek(page)
        reduced.append(bool(int(tiff_tags(image).get(_SUBFILE_TYPE, 0)) & 1))
    image.seek(0)
    return all(reduced)


def _exif_of(image: Image.Image, remarks: list[str]) -> tuple[int, bytes | None]:
    """The orientation that is still to be applied, and the EXIF block with orientation 1."""
    if image.format == "TIFF":
        block = exif_of_tiff(image)
        return int(tiff_tags(image).get(ORIENTATION, 1)), block
    block = image.info.get("exif")
    if not block:
        return 1, None
    try:
        exif = Exif(block)
        return exif.orientation, exif.upright()
    except ValueError as error:
        remarks.append(f"dropped its damaged EXIF ({error})")
        return 1, None


def _assemble(
    array: np.ndarray, kind: str, exif: bytes | None, icc: bytes | None, remarks: list[str]
) -> Picture:
    """Split off alpha; repeat grey as three equal channels."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    grey = channels <= 2
    if grey:
        plane = array if array.ndim == 2 else array[..., 0]
        pixels = np.repeat(plane[..., None], 3, axis=2)
    else:
        pixels = np.ascontiguousarray(array[..., :3])
    return Picture(pixels, alpha, grey, exif, icc, kind, tuple(remarks))
