"""Reading and writing still pictures without losing depth, alpha, orientation, EXIF or ICC.

| format | bits a channel | alpha | EXIF | ICC | read | written |
|---|---|---|---|---|---|---|
| JPEG | 8 | - | yes | yes | grey, colour, CMYK | grey, colour; 4:4:4 |
| PNG | 8, 16 | yes | yes | yes | all kinds | grey, colour; lossless |
| WebP | 8 | yes | yes | yes | lossy, lossless | colour; lossy |
| TIFF | 8, 16 | yes | yes | yes | see below | grey, colour; uncompressed |
| BMP | 8 | - | - | - | all kinds | grey, colour |

Limits. One picture a file: animations and multi-page files are refused (a camera's MPO gives its
first picture, and remarks on it). Of a 16-bit TIFF: grey, RGB or RGBA, alpha not premultiplied.
Interoperability tags inside EXIF do not survive in TIFF, nor do maker notes whose addresses point
outside themselves. XMP and IPTC are not kept. Palettes come back as colour, 16-bit grey with
alpha as 16-bit RGBA. CMYK is converted to sRGB through the profile in the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .metadata import (
    ORIENTATION,
    PNG_HEADER_BYTES,
    Exif,
    Picture,
    exif_of_tiff,
    png_chunks,
    turn_upright,
)
from .write import WRITABLE, what_is_lost, write_picture

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "MAX_PIXELS",
    "READABLE",
    "WRITABLE",
    "Picture",
    "PictureError",
    "read_picture",
    "what_is_lost",
    "write_picture",
]

READABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# Larger than any camera's sensor, small enough for 2 GB of memory: 150 MP is 450 MB in 8 bits.
MAX_PIXELS = 150_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_SUPPORTED = "JPEG, PNG, WebP, TIFF or BMP"
# TIFF tags and the values that the 16-bit path takes.
_BITS, _COMPRESSION, _PHOTOMETRIC, _PREDICTOR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = (
    258, 259, 262, 317, 338, 339,
)  # fmt: skip
_PLAIN_OR_DEFLATE = (1, 8, 32946)
_MIN_IS_BLACK, _RGB, _PREMULTIPLIED, _UNSIGNED = 1, 2, 1, 1


class PictureError(ValueError):
    """A picture that cannot be read; the text names the file and what to do."""


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read one still picture; the format is told by the content, not by the name.

    Args:
        path: The file.
        max_pixels: Refuse larger pictures, from the header alone, before decoding.

    Returns:
        The upright picture; see `Picture`.

    Raises:
        FileNotFoundError: no such file.
        OSError: the file cannot be opened, or is a folder.
        PictureError: empty, cut off, damaged, no picture, too large, animated, or of a kind
            outside the module's table.
    """
    path = Path(path)
    data = _bytes_of(path)
    with warnings.catch_warnings():
        # Pillow warns about sizes that max_pixels allows, and about EXIF that is checked below.
        warnings.simplefilter("ignore")
        image = _open(path, data)
        remarks = _check_header(path, image, max_pixels)
        try:
            array, icc = (
                _deep_array(image, data) if _is_deep(image, data) else _array(image, remarks)
            )
            # After the pixels: a PNG may carry EXIF behind them, and Pillow has turned a TIFF now.
            orientation, exif = _exif_of(image, remarks)
        except (PictureError, MemoryError) as error:
            raise type(error)(f"{path}: {error}") from error
        # Decoders raise whatever they meet in damaged bytes, in four libraries.
        except Exception as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise PictureError(
                f"{path}: damaged or cut off ({detail}); copy the file again"
            ) from error
    return _assemble(turn_upright(array, orientation), image.format or "", exif, icc, remarks)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{path}: is a folder, not a picture") from error
    except OSError as error:
        raise OSError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if not data:
        raise PictureError(f"{path}: the file is empty; copy it again")
    return data


def _open(path: Path, data: bytes) -> Image.Image:
    """The header, by Pillow; nothing is decoded yet."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: far too large to decode ({error})") from error
    except Exception as error:  # a header parser may raise anything on random bytes
        if kind := _odd_tiff(data):
            raise PictureError(
                f"{path}: a TIFF with {kind} samples; save it with 8 or 16 bits a channel"
            ) from error
        raise PictureError(
            f"{path}: not a {_SUPPORTED} picture, or its header is damaged; "
            "convert it to one of these"
        ) from error


def _odd_tiff(data: bytes) -> str:
    """The sample type of a TIFF that Pillow does not know (float32 colour, say); else empty."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return ""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return str(np.dtype(file.pages[0].dtype))
    except Exception:  # noqa: BLE001 - random bytes again: then it is no TIFF to speak of
        return ""


def _check_header(path: Path, image: Image.Image, max_pixels: int) -> list[str]:
    """Refuse large and moving pictures; returns remarks."""
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
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
    """Whether all pages of a TIFF but the first are marked as reduced versions."""
    reduced: list[bool] = []
    for page in range(1, frames):
        image.seek(page)
        reduced.append(bool(int(_tiff_tags(image).get(254, 0)) & 1))
    image.seek(0)
    return all(reduced)


def _tiff_tags(image: Image.Image) -> Mapping[int, Any]:
    """The opened page's own directory; only `TiffImageFile` has one."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2")  # noqa: B009 - not on Image.Image
    return tags


def _is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether channels have 16 bits, which Pillow would cut to 8."""
    if image.format == "PNG":
        return data[PNG_HEADER_BYTES - 9] == 16
    if image.format == "TIFF":
        return max(_tiff_tags(image).get(_BITS, (1,))) == 16
    return False


def _exif_of(image: Image.Image, remarks: list[str]) -> tuple[int, bytes | None]:
    """Orientation still to be applied, and the EXIF block with orientation 1."""
    if image.format == "TIFF":
        block = exif_of_tiff(image)
        return int(_tiff_tags(image).get(ORIENTATION, 1)), block
    block = image.info.get("exif")
    if not block:
        return 1, None
    try:
        exif = Exif(block)
        return exif.orientation, exif.upright()
    except ValueError as error:
        remarks.append(f"dropped its damaged EXIF ({error})")
        return 1, None


def _array(image: Image.Image, remarks: list[str]) -> tuple[np.ndarray, bytes | None]:
    """8-bit pixels as (H, W), (H, W, 2: grey, alpha), (H, W, 3) or (H, W, 4), and the profile."""
    image.load()
    icc = image.info.get("icc_profile")
    if image.mode == "CMYK":
        remarks.append("converted from CMYK to sRGB")
        return np.asarray(_to_srgb(image, icc)), None
    clear = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        wanted = "LA" if clear else "L"
    elif image.mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        wanted = "RGBA" if clear else "RGB"
    else:
        raise PictureError(
            f"pixels of kind {image.mode!r} are not supported; save it with 8 or 16 bits a channel"
        )
    if image.mode != wanted:
        image = image.convert(wanted)
    return np.asarray(image), icc


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
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


def _deep_array(image: Image.Image, data: bytes) -> tuple[np.ndarray, bytes | None]:
    """The same for 16 bits, which OpenCV and tifffile can hold and Pillow cannot."""
    icc = image.info.get("icc_profile")
    if image.format == "PNG":
        chunks = dict(png_chunks(data))
        if b"IEND" not in chunks:
            raise PictureError("damaged or cut off (no end marker); copy the file again")
        image.info.setdefault("exif", chunks.get(b"eXIf"))
        return _by_opencv(data), icc
    tags = _tiff_tags(image)
    if (
        tags.get(_PHOTOMETRIC) not in (_MIN_IS_BLACK, _RGB)
        or _PREMULTIPLIED in tags.get(_EXTRA_SAMPLES, ())
        or set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}
    ):
        raise PictureError(
            "this kind of 16-bit TIFF is not supported; save it as grey or RGB, unsigned "
            "integers, alpha not premultiplied"
        )
    plain = tags.get(_COMPRESSION, 1) in _PLAIN_OR_DEFLATE and tags.get(_PREDICTOR, 1) == 1
    if not plain and tags.get(284, 1) == 1:  # OpenCV mixes up planes stored one after another
        return _by_opencv(data), icc
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        array = np.asarray(page.asarray())
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and array.ndim == 3:
            array = np.moveaxis(array, 0, 2)
    return array.astype(np.uint16, copy=False), icc


def _by_opencv(data: bytes) -> np.ndarray:
    import cv2

    # IMREAD_UNCHANGED leaves the orientation to us.
    array: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise PictureError("damaged, cut off, or compressed in an unknown way; save it again")
    if array.ndim == 2:
        return array
    order = cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(array, order)


def _assemble(
    array: np.ndarray, kind: str, exif: bytes | None, icc: bytes | None, remarks: list[str]
) -> Picture:
    """Split channels; grey becomes three equal ones."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    grey = channels <= 2
    if grey:
        plane = array if array.ndim == 2 else array[..., 0]
        pixels = np.repeat(plane[..., None], 3, axis=2)
    else:
        pixels = np.ascontiguousarray(array[..., :3])
    return Picture(pixels, alpha, grey, exif, icc, kind, tuple(remarks))
