"""Operations of TFLite files, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.benchmarks.counts import tflite_counts
from edgedeblur.benchmarks.counts.counts import Counts
from edgedeblur.benchmarks.counts.tflite_counts import count_tflite

PIXELS = 4 * 6


class File:
    """Stands for a `TfliteFile`: operators as (kind, inputs, outputs, fused activation)."""

    def __init__(self, shapes, *operators):
        self.shapes = shapes
        self.operators = [
            SimpleNamespace(
                kind=kind, inputs=np.int32(inputs), outputs=np.int32([output]),
                builtinOptions=fused and SimpleNamespace(fusedActivationFunction=fused),
            )
            for kind, inputs, output, fused in operators
        ]  # fmt: skip

    def kind(self, operator):
        words = f"{operator.kind} -"
        return words.split()[0]  # an equal text, another object each time

    def shape(self, tensor):
        return self.shapes[tensor]


@pytest.mark.parametrize(
    ("kind", "shapes", "inputs", "counts"),
    [
        # Weights (out, h, w, in): 7 * 30 of them and 7 biases, at 4 * 6 places.
        ("CONV_2D", {0: (1, 8, 12, 5), 1: (7, 3, 2, 5), 2: (7,)}, [0, 1, 2],
         (7 * 30 + 7, 7 * 30 * PIXELS)),
        ("CONV_2D", {0: (1, 8, 12, 5), 1: (7, 3, 2, 5)}, [0, 1], (7 * 30, 7 * 30 * PIXELS)),
        ("DEPTHWISE_CONV_2D", {0: (1, 8, 12, 7), 1: (1, 3, 2, 7), 2: (7,)}, [0, 1, 2],
         (7 * 6 + 7, 7 * 6 * PIXELS)),
        # (shape, weights, picture, bias): each of 2 * 3 * 5 values meets 7 * 4 * 2 weights.
        ("TRANSPOSE_CONV", {0: (4,), 1: (7, 4, 2, 5), 2: (1, 2, 3, 5), 3: (7,)}, [0, 1, 2, 3],
         (7 * 8 * 5 + 7, 2 * 3 * 5 * 7 * 8)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fused", [None, 0, 1])
def test_tflite_convolutions_by_hand(monkeypatch, kind, shapes, inputs, counts, fused):
    written = 7 * PIXELS
    file = File(shapes | {9: (1, 4, 6, 7)}, (kind, inputs, 9, fused))
    monkeypatch.setattr(tflite_counts.TfliteFile, "read", lambda _path: file)
    params, macs = counts
    extra = written * (2 if fused else 1)  # the bias, and what is fused
    assert count_tflite(Path("a")) == Counts(params, macs, macs + extra)


def test_tflite_half_weights_are_counted_where_they_are_stored(monkeypatch):
    shapes = {0: (1, 4, 6, 5), 1: (7, 1, 1, 5), 2: (7,), 3: (8, 1, 1, 5), 4: (1, 4, 6, 7)}
    shapes |= {5: (1, 4, 6, 7)}
    file = File(
        shapes,
        ("DEQUANTIZE", [3], 1, None),  # stored as tensor 3, which is made larger to be told apart
        ("CONV_2D", [0, 1, 2], 4, 0),
        ("ADD", [4, 4], 5, 0),
        ("RESHAPE", [4], 5, None),
    )
    monkeypatch.setattr(tflite_counts.TfliteFile, "read", lambda _path: file)
    written = 7 * PIXELS
    assert count_tflite(Path("a")) == Counts(40 + 7, 35 * PIXELS, 35 * PIXELS + 2 * written)


def test_tflite_weights_that_are_computed_otherwise_count_as_they_are_read(monkeypatch):
    shapes = {0: (1, 4, 6, 5), 1: (7, 1, 1, 5), 2: (7,), 3: (8, 1, 1, 5), 4: (1, 4, 6, 7)}
    for kind in ("RESHAPE", "CAST"):
        file = File(shapes, (kind, [3], 1, None), ("CONV_2D", [0, 1, 2], 4, 0))
        monkeypatch.setattr(tflite_counts.TfliteFile, "read", lambda _path, file=file: file)
        assert count_tflite(Path("a")).params == 35 + 7
