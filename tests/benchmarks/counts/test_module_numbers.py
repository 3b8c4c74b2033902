"""Operations of PyTorch modules and of TFLite files, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgedeblur.benchmarks.counts import footprint, module_counts, onnx_counts, tflite_counts
from edgedeblur.benchmarks.counts.counts import Counts
from edgedeblur.benchmarks.counts.module_counts import count_module
from edgedeblur.benchmarks.counts.tflite_counts import count_tflite
from torch import nn

PIXELS = 4 * 6


class Calls(nn.Module):
    """One function of the picture, and modules that have parameters."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function, self.inner = function, nn.ModuleList(modules)

    def forward(self, image):
        return self.function(image, *self.inner)


def counted(function, *modules):
    counts = count_module(Calls(function, *modules), (4, 6))
    return counts.macs, counts.macs_elementwise - counts.macs


@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_by_hand(bias):
    conv = nn.Conv2d(3, 6, (3, 2), padding=1, groups=3, stride=2, bias=bias)  # to 2x4
    assert counted(lambda x, c: c(x), conv) == (6 * 6 * 8, 6 * 8 * bias)
    transposed = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1, bias=bias)  # to 8x12
    assert counted(lambda x, c: c(x), transposed) == (3 * 5 * 16 * PIXELS, 5 * 4 * PIXELS * bias)
    counts = count_module(nn.Sequential(conv, nn.Conv2d(6, 2, 1)), (4, 6))
    assert counts.params == 36 + 6 * bias + 12 + 2
    assert counts.macs_paper is None
    two = counted(lambda x, c: c(torch.cat([x, x])), conv)
    assert two == (2 * 6 * 6 * 8, 2 * 6 * 8 * bias)  # a batch of two


def test_products_by_hand():
    assert counted(lambda x: x[0, 0] @ x[0, 1].T) == (4 * 4 * 6, 0)
    assert counted(lambda x: torch.bmm(x[0], x[0].mT)) == (3 * 4 * 4 * 6, 0)
    linear = nn.Linear(6, 5)
    assert counted(lambda x, m: m(x[0, 0]), linear) == (4 * 5 * 6, 4 * 5)


@pytest.mark.parametrize(
    ("function", "work"),
    [
        (torch.tanh, 72), (F.relu, 72), (lambda x: F.relu_(x.clone()), 72), (lambda x: x + x, 72),
        (lambda x: x.clamp(-1, 1), 72), (F.hardtanh, 72), (lambda x: x.mean(), 72),
        (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), 288),
        (lambda x: F.avg_pool2d(x, 2), 72), (lambda x: F.max_pool2d(x, 2), 72),
        (lambda x: torch.cat([x, x]), 0), (lambda x: x.reshape(3, -1), 0),
        (lambda x: torch.var_mean(x, dim=(2, 3))[0], 72),
    ],
)  # fmt: skip
def test_elementwise_work_by_hand(function, work):
    assert counted(lambda x: function(x)) == (0, work)


@pytest.mark.parametrize(("affine", "work"), [(True, 144), (False, 72)])
def test_norms_by_hand(affine, work):
    norm = nn.BatchNorm2d(3, affine=affine)
    assert counted(lambda x, m: m(x), norm) == (0, work)


def test_the_backbone_counts_twice_in_the_papers_way():
    backbone = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1, bias=False))
    module = nn.Sequential(backbone, nn.Conv2d(4, 1, 1), nn.Tanh())
    counts = count_module(module, (4, 6), backbone=backbone)
    assert counts.macs == (6 + 8 + 4) * PIXELS
    once = (6 + 2 + 2 + 8) * PIXELS  # products, bias, ReLU, products
    assert counts.macs_elementwise == once + (4 + 1 + 1) * PIXELS
    assert counts.macs_paper == counts.macs_elementwise + once
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert next(module.parameters()).is_meta
    assert not module.training


def test_a_checkpoint_is_counted_as_its_generator(monkeypatch):
    asked = []

    def count(module, size, *, backbone):
        asked.append((module.backbone, size, backbone is module.fpn.features))
        return "counts"

    monkeypatch.setattr(module_counts, "count_module", count)
    from edgedeblur.models.checkpoints.sources import zoo_path

    path = zoo_path("mobilenet_dsc")
    assert module_counts.count_checkpoint(path, (64, 96), norm="frozen") == "counts"
    assert asked == [("mobilenet_dsc", (64, 96), True)]


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
        return operator.kind

    def shape(self, tensor):
        return self.shapes[tensor]


@pytest.mark.parametrize(
    ("kind", "shapes", "inputs", "counts"),
    [
        # Weights (out, h, w, in): 7 * 15 of them and 7 biases, at 4 * 6 places.
        ("CONV_2D", {0: (1, 8, 12, 5), 1: (7, 3, 1, 5), 2: (7,)}, [0, 1, 2],
         (7 * 15 + 7, 7 * 15 * PIXELS)),
        ("CONV_2D", {0: (1, 8, 12, 5), 1: (7, 3, 1, 5)}, [0, 1], (7 * 15, 7 * 15 * PIXELS)),
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


COUNTED = Counts(10, 20, 30, 40, 50)


@pytest.mark.parametrize(
    ("name", "module", "function", "origin"),
    [
        ("a.onnx", onnx_counts, "count_onnx", "graph"),
        ("a.ONNX", onnx_counts, "count_onnx", "graph"),
        ("a.tflite", tflite_counts, "count_tflite", "graph"),
        ("a.safetensors", module_counts, "count_checkpoint", "module"),
        ("a.h5", module_counts, "count_checkpoint", "module"),
    ],
)
def test_every_format_has_its_counter(monkeypatch, tmp_path, name, module, function, origin):
    monkeypatch.setattr(module, function, lambda *_a, **_k: COUNTED)
    path = tmp_path / name
    path.write_bytes(bytes(17))
    manifest = SimpleNamespace(input=SimpleNamespace(size=(4, 6)), norm="frozen")
    found = footprint.measure_footprint(path, manifest, (4, 6))
    assert (found.bytes, found.params, found.size) == (17, 10, (4, 6))
    assert (found.macs, found.flops, found.macs_elementwise) == (20, 40, 30)
    assert (found.macs_paper, found.bytes_moved, found.counted_from) == (40, 50, origin)
    if name == "a.tflite":
        with pytest.raises(ValueError, match=r"has the fixed size \(4, 6\), not \(4, 8\)"):
            footprint.measure_footprint(path, manifest, (4, 8))
        with pytest.raises(ValueError, match=r"has the fixed size \(4, 6\), not \(2, 6\)"):
            footprint.measure_footprint(path, manifest, (2, 6))


def test_other_formats_have_what_their_manifest_says(tmp_path):
    path = tmp_path / "a.plan"
    path.write_bytes(bytes(17))
    manifest = SimpleNamespace(macs=20, macs_size=[4, 6], params=10)
    found = footprint.measure_footprint(path, manifest, (4, 6))
    assert (found.macs, found.flops, found.params, found.bytes) == (20, 40, 10, 17)
    assert (found.macs_elementwise, found.macs_paper, found.counted_from) == (
        None,
        None,
        "manifest",
    )
    for size in ((4, 8), (2, 6)):
        found = footprint.measure_footprint(path, manifest, size)
        assert (found.macs, found.flops) == (None, None)
    for missing in ({"macs": None}, {"macs_size": None}):
        changed = SimpleNamespace(**(vars(manifest) | missing))
        with pytest.raises(ValueError, match=r"operations in \.plan files cannot be counted"):
            footprint.measure_footprint(path, changed, (4, 6))
