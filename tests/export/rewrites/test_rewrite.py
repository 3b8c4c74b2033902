from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.kernels import PhaseConv, transposed_conv, transposed_kernel
from edgedeblur.export.rewrites.rewrite import ALL, REWRITES, Step, apply_rewrites, parse_steps
from edgedeblur.export.rewrites.tune import candidates_for
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.network.convolution import SeparableConv
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.models.network.fusion_points import FUSION_POINTS
from edgedeblur.models.network.pyramid_network import RewritableGenerator
from edgedeblur.runtimes.registry import open_runner
from torch import nn

BACKBONES = ("mobilenet", "mobilenet_dsc")
# One pixel, one column, odd numbers of pyramid cells, more than one picture.
SIZES = [(1, 32, 32), (1, 32, 160), (2, 96, 224)]


@pytest.fixture(scope="module")
def graphs(released_h5):
    return {
        "mobilenet": prepare(load_checkpoint(str(released_h5)), norm="frozen"),
        "mobilenet_dsc": prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen"),
    }


def worst_relative(first: nn.Module, second: nn.Module) -> float:
    """Largest difference of the residuals before tanh and clamp hide it, relative to them."""
    worst = 0.0
    for n, height, width in SIZES:
        torch.manual_seed(n + height + width)
        image = torch.rand(n, 3, height, width) * 2 - 1
        with torch.no_grad():
            a, b = first(image), second(image)
        worst = max(worst, float((a - b).abs().max() / (a - image).abs().max()))
    return worst


@pytest.mark.parametrize("backbone", BACKBONES)
def test_fusion_points_compute_what_the_generator_computes(graphs, backbone):
    graph = graphs[backbone]
    assert worst_relative(graph.module, RewritableGenerator(graph.module).eval()) <= 1e-6


@pytest.mark.parametrize("name", REWRITES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_rewrite_alone_is_exact(graphs, backbone, name):
    graph = graphs[backbone]
    if (backbone, name) == ("mobilenet", "compose_separable"):
        with pytest.raises(ValueError, match="does not apply at this network"):
            apply_rewrites(graph, [Step(name)])
        return
    needs = {
        "nest_upsampling": [Step("compose_separable", optional=True), Step("split_concat")],
        "upsample_to_pixelshuffle": [Step("compose_separable", optional=True)],
    }
    rewritten = apply_rewrites(graph, [*needs.get(name, []), Step(name)])
    assert worst_relative(graph.module, rewritten.module) <= 1e-5
    assert rewritten.rewrites[-1] == name


@pytest.mark.parametrize(
    ("backbone", "text"),
    [(b, t) for b in BACKBONES for t in (*candidates_for(b), "all")],
)
def test_every_candidate_of_tuning_is_exact(graphs, backbone, text):
    graph = graphs[backbone]
    rewritten = apply_rewrites(graph, parse_steps(text))
    assert worst_relative(graph.module, rewritten.module) <= 1e-5


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("point", FUSION_POINTS)
def test_each_fusion_point_alone_is_exact(graphs, backbone, point):
    graph = graphs[backbone]
    split = (Step("split_concat", ("smooth",)),) if point == "smooth" else ()
    rewritten = apply_rewrites(graph, (*split, Step("upsample_to_transposed", (point,))))
    assert worst_relative(graph.module, rewritten.module) <= 1e-5


def test_a_wrong_kernel_would_be_seen(graphs):
    rewritten = apply_rewrites(graphs["mobilenet"], ALL)
    with torch.no_grad():
        rewritten.module.fusion_point("final").typed_branches()[0].conv.conv.weight[0, 0, 0, 0] += (
            1e-3
        )
    assert worst_relative(graphs["mobilenet"].module, rewritten.module) > 1e-5


def test_macs_fall_as_the_algebra_says(graphs):
    size = (736, 1280)
    # Published: 38.94 G, and 28.58 G rewritten with a 3x3 shuffle convolution at `final`; the 2x2
    # one takes 4 of its 9 taps, 0.45 G less.
    assert round(conv_macs(graphs["mobilenet"].module, size) / 1e9, 2) == 38.94
    every = apply_rewrites(graphs["mobilenet"], ALL)
    assert round(conv_macs(every.module, size) / 1e9, 2) == 28.13
    # final: 9 taps at 736x1280 against 4 taps with 4 outputs each at 369x641 windows.
    phase = apply_rewrites(graphs["mobilenet"], [Step("upsample_to_pixelshuffle", ("final",))])
    saved = conv_macs(graphs["mobilenet"].module, size) - conv_macs(phase.module, size)
    assert saved == 736 * 1280 * 32 * 3 * 9 - 369 * 641 * 32 * 12 * 4


def test_transposed_kernel_by_hand():
    kernel = torch.tensor([1.0, 10.0, 100.0], dtype=torch.double).reshape(1, 1, 1, 3)
    kernel = torch.cat([torch.zeros_like(kernel), kernel, torch.zeros_like(kernel)], dim=2)
    # A pixel repeated twice: the tap sums 100, 110, 11, 1 are what it gives from left to right.
    row = transposed_kernel(kernel, 2)[0, 0, 1]
    assert row.tolist() == [100.0, 110.0, 11.0, 1.0]
    assert transposed_kernel(kernel, 4)[0, 0, 1].tolist() == [100, 110, 111, 111, 11, 1]


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 3)])
@pytest.mark.parametrize("separable", [False, True])
def test_transposed_conv_equals_enlarging_and_convolving(factor, shape, separable):
    torch.manual_seed(factor)
    conv = nn.Conv2d(3, 5, 3, padding=1) if not separable else SeparableConv(3, 5, bias=True)
    image = torch.randn(2, 3, *shape)
    with torch.no_grad():
        expected = conv(F.interpolate(image, scale_factor=factor, mode="nearest"))
        assert (transposed_conv(conv, factor)(image) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 3)])
def test_phase_conv_equals_enlarging_and_convolving(shape):
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 5, 3, padding=1)
    image = torch.randn(2, 3, *shape)
    with torch.no_grad():
        expected = conv(F.interpolate(image, scale_factor=2, mode="nearest"))
        assert (PhaseConv(conv.weight.double(), conv.bias)(image) - expected).abs().max() <= 1e-5


def test_parse_steps():
    assert parse_steps("none") == ()
    assert parse_steps("all") == ALL
    steps = parse_steps("split_concat, upsample_to_transposed@td3+smooth")
    assert steps == (Step("split_concat"), Step("upsample_to_transposed", ("td3", "smooth")))
    assert [str(s) for s in steps] == ["split_concat", "upsample_to_transposed@td3+smooth"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split_concats", r"unknown rewrite 'split_concats'; did you mean split_concat\?"),
        ("split_concat@smoth", r"unknown fusion point 'smoth'; did you mean smooth"),
        ("", "no rewrites given"),
        ("split_concat@final", None),
    ],
)
def test_wrong_rewrites_are_refused(graphs, text, message):
    with pytest.raises(ValueError, match=message or "does not apply at final"):
        apply_rewrites(graphs["mobilenet"], parse_steps(text))


def test_live_norms_are_not_rewritten():
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="live")
    with pytest.raises(ValueError, match="rewrites need frozen norms"):
        apply_rewrites(graph, ALL)
    assert apply_rewrites(graph, ()) is graph


def test_rewritten_artifact_equals_the_unrewritten_and_says_what_was_done(tmp_path, image):
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    outputs = []
    for number, text in enumerate(("none", "all")):
        path = tmp_path / f"{number}.onnx"
        spec = ExportSpec("onnx-fp32", (64, 96))
        target = get_target("onnx-fp32")
        manifest = produce(
            target, checkpoint, spec, path, norm="frozen", rewrites=parse_steps(text)
        )
        assert manifest.rewrites == tuple(str(s) for s in parse_steps(text))
        with open_runner(path) as runner:
            outputs.append(runner.infer(image).copy())
    assert np.abs(outputs[0] - outputs[1]).max() <= 1e-4
