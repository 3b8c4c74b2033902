"""Operations of PyTorch modules, and which counter a file gets, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from edgedeblur.benchmarks.counts import footprint, module_counts, onnx_counts, tflite_counts
from edgedeblur.benchmarks.counts.counts import Counts
from edgedeblur.benchmarks.counts.module_counts import count_module
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


def test_a_norm_that_scales_only_counts_as_one_with_an_affine_part():
    norm = nn.BatchNorm2d(3)
    assert counted(
        lambda x, m: F.batch_norm(x, m.running_mean, m.running_var, weight=m.weight), norm
    ) == (0, 144)


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
    width = 6  # so that the two sizes are equal, and not one object
    manifest = SimpleNamespace(input=SimpleNamespace(size=(4, width)), norm="frozen")
    found = footprint.measure_footprint(path, manifest, (4, 6))
    assert (found.bytes, found.params, found.size) == (17, 10, (4, 6))
    assert (found.macs, found.flops, found.macs_elementwise) == (20, 40, 30)
    assert (found.macs_paper, found.bytes_moved, found.counted_from) == (40, 50, origin)
    if name == "a.tflite":
        with pytest.raises(ValueError, match=r"has the fixed size \(4, 6\), not \(4, 8\)"):
            footprint.measure_footprint(path, manifest, (4, 8))
        with pytest.raises(ValueError, match=r"has the fixed size \(4, 6\), not \(2, 6\)"):
            footprint.measure_footprint(path, manifest, (2, 6))


@pytest.mark.parametrize("suffix", ["plan", "mlpackage", "xml"])
def test_other_formats_have_what_their_manifest_says(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
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
        with pytest.raises(ValueError, match=f"operations in .{suffix} files cannot be counted"):
            footprint.measure_footprint(path, changed, (4, 6))
