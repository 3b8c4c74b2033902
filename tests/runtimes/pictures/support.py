"""Pictures and EXIF blocks that the tests write and read back."""

import numpy as np
from PIL import Image, ImageCms

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
