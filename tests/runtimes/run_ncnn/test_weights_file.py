from __future__ import annotations

import struct

import numpy as np
import pytest
from edgedeblur.runtimes.run_ncnn.param_file import Layer
from edgedeblur.runtimes.run_ncnn.weights_file import Weights, parse_weights, weights_bytes

# One 1x1 convolution, 1 -> 3 channels with biases, and a depthwise one in 8 bits that writes 8.
PLAIN = Layer("Convolution", "a", ("in",), ("x",), {0: "3", 1: "1", 5: "1", 6: "3"})
EIGHT = Layer(
    "ConvolutionDepthWise", "b", ("x",), ("y",), {0: "3", 1: "1", 6: "3", 7: "3", 8: "101"}
)
RELU = Layer("ReLU", "r", ("y",), ("z",))
LAYERS = [PLAIN, EIGHT, RELU]
FILE = (
    struct.pack("<I3f", 0, 1.5, -2.0, 0.25)
    + struct.pack("<3f", 10.0, 20.0, 30.0)
    + struct.pack("<I", 0x000D4B38)
    + struct.pack("<3bx", 127, -127, 5)
    + struct.pack("<3f", 100.0, 200.0, 300.0)
    + struct.pack("<2f", 21.0, 42.0)
)


def test_a_file_written_by_hand_is_read():
    found = parse_weights(LAYERS, FILE, origin="x")
    assert list(found) == ["a", "b"]
    assert found["a"].weight.tolist() == [1.5, -2.0, 0.25]
    assert found["a"].bias.tolist() == [10.0, 20.0, 30.0]
    assert found["a"].scales == ()
    assert found["b"].weight.dtype == np.int8
    assert found["b"].weight.tolist() == [127, -127, 5]
    assert found["b"].bias is None
    assert [scales.tolist() for scales in found["b"].scales] == [[100, 200, 300], [21], [42]]


def test_what_is_written_is_the_same_file():
    assert weights_bytes(LAYERS, parse_weights(LAYERS, FILE, origin="x")) == FILE


def test_half_precision_is_padded_to_four_bytes():
    weights = Weights(np.array([1, 2, 3], np.float16), np.zeros(3, np.float32))
    data = weights_bytes([PLAIN], {"a": weights})
    assert len(data) == 4 + 8 + 12
    assert data[:4] == struct.pack("<I", 0x01306B47)
    assert parse_weights([PLAIN], data, origin="x")["a"].weight.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("term", "floats"), [("2", 3 + 1), ("102", 3 + 1 + 1)])
def test_a_dense_layer_has_a_scale_for_each_output(term, floats):
    layer = Layer("Convolution", "a", ("in",), ("x",), {0: "3", 1: "1", 6: "6", 8: term})
    data = struct.pack("<I6b2x", 0x000D4B38, *range(6)) + bytes(4 * floats)
    scales = parse_weights([layer], data, origin="x")["a"].scales
    assert [len(values) for values in scales] == [3, 1, 1][: len(scales)]
    assert sum(len(values) for values in scales) == floats


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FILE[:-1], "x: too short for its layers"),
        (FILE + b"\0", "x: holds more than the convolutions' weights"),
        (b"\x01" + FILE[1:], r"x: weights stored in an unknown way \(tag 0x1\)"),
        (b"", "x: too short for its layers"),
    ],
)
def test_other_files_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        parse_weights(LAYERS, data, origin="x")
