from __future__ import annotations

import numpy as np
from edgedeblur.runtimes.artifact import TensorSpec
from edgedeblur.runtimes.io_format import from_io_format, to_io_format


class TestIoFormat:
    def test_uint8_pictures_come_through_unchanged(self):
        levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
        spec = TensorSpec("image", (1, 16, 16, 3), "uint8", "NHWC", "RGB", (0, 255))
        image = from_io_format(levels, spec)
        assert (image.shape, image.dtype) == ((1, 3, 16, 16), np.float32)
        assert image[0, :, 0, 0].tolist() == [-1, -1, -1]
        assert image[0, 0, 15, 15] == 1
        assert np.array_equal(to_io_format(image, spec), levels)

    def test_float16_rounds_to_half(self):
        spec = TensorSpec("image", (1, 3, 1, 1), "float16")
        image = np.full((1, 3, 1, 1), 0.1, np.float32)
        half = to_io_format(image, spec)
        assert half.dtype == np.float16
        assert from_io_format(half, spec).ravel().tolist() == [0.0999755859375] * 3

    def test_layouts_are_those_of_the_spec(self):
        spec = TensorSpec("image", (1, 2, 2, 3), "float32", "NHWC")
        image = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
        assert to_io_format(image, spec)[0, 0, 1].tolist() == [1, 5, 9]
        assert np.array_equal(from_io_format(to_io_format(image, spec), spec), image)
