"""Rewrites on fusion points of a few channels: the same function, and the parts that are left."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from edgedeblur.export.graph import Graph
from edgedeblur.export.rewrites.kernels import PhaseConv
from edgedeblur.export.rewrites.rewrite import REWRITES, Step, apply_rewrites, parse_steps
from edgedeblur.models.network.convolution import SeparableConv
from edgedeblur.models.network.fusion_points import FUSION_POINTS, Branch, FusionPoint
from torch import nn


def conv(channels, out, *, bias=True, separable=False):
    if separable:
        return SeparableConv(channels, out, bias=bias)
    return nn.Conv2d(channels, out, 3, padding=1, bias=bias)


def joined(separable=False):
    """A top-down step: a lateral of the fine map and the coarse one enlarged, then one 3x3."""
    torch.manual_seed(0)
    fine = Branch(((0, 1),), lateral=nn.Conv2d(3, 4, 1, bias=False))
    coarse = Branch(((1, 1),), factor=2)
    return FusionPoint([fine, coarse], conv=conv(4, 5, separable=separable), relu=True)


def merged(separable=False, bias=True):
    """Maps of four scales, brought to one, concatenated and convolved."""
    torch.manual_seed(1)
    sources = ((0, 8), (1, 4), (2, 2), (3, 1))
    whole = conv(8, 3, bias=bias, separable=separable)
    return FusionPoint([Branch(sources, widths=(2, 2, 2, 2), conv=whole)], conv=None, relu=False)


def last(factor=2, separable=False):
    """Enlarged, then convolved."""
    torch.manual_seed(2)
    branch = Branch(((0, 1),), factor=factor, conv=conv(4, 3, separable=separable))
    return FusionPoint([branch], conv=None, relu=False)


def inputs(point):
    """Maps that fit: of 16x24 pixels where nothing is enlarged."""
    torch.manual_seed(3)
    if point.conv is not None or len(point.typed_branches()) == 2:
        return torch.randn(2, 3, 4, 6), torch.randn(2, 4, 2, 3)
    if len(point.typed_branches()[0].sources) == 4:
        return tuple(torch.randn(1, 2, 16 // r, 24 // r) for r in (8, 4, 2, 1))
    return (torch.randn(1, 4, 3, 5),)


def rewritten(point, *names, maps=None):
    """The point after the rewrites, which must compute what it did."""
    maps, done = maps or inputs(point), copy.deepcopy(point)
    with torch.no_grad():
        for name in names:
            assert REWRITES[name](done)
        assert (done(*maps) - point(*maps)).abs().max() <= 1e-5
    return done


def parts(point):
    """What is left of each branch: sources, enlargement, convolution."""
    return [(b.sources, b.factor, type(b.conv).__name__) for b in point.typed_branches()]


@pytest.mark.parametrize("separable", [False, True])
def test_a_convolution_over_a_sum_becomes_two(separable):
    kind = "SeparableConv" if separable else "Conv2d"
    done = rewritten(joined(separable), "split_concat")
    assert done.conv is None
    assert parts(done) == [(((0, 1),), 1, kind), (((1, 1),), 2, kind)]
    biases = [
        (b.conv.pointwise if separable else b.conv).bias is not None for b in done.typed_branches()
    ]
    assert biases == [True, False]
    assert len({id(b.conv) for b in done.typed_branches()}) == 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("separable", [False, True])
def test_a_convolution_over_a_concatenation_becomes_four(separable, bias):
    kind = "SeparableConv" if separable else "Conv2d"
    done = rewritten(merged(separable, bias), "split_concat")
    assert parts(done) == [(((i, 1),), 8 >> i, kind) for i in range(4)]
    convs = [b.conv.pointwise if separable else b.conv for b in done.typed_branches()]
    assert [c.bias is not None for c in convs] == [bias, False, False, False]
    firsts = [b.conv.depthwise if separable else b.conv for b in done.typed_branches()]
    assert [c.in_channels for c in firsts] == [2] * 4
    assert not REWRITES["split_concat"](done)  # there is nothing left to split


def test_two_sources_are_enough_to_split():
    point = FusionPoint(
        [Branch(((0, 1), (1, 1)), widths=(3, 3), conv=conv(6, 2))], conv=None, relu=False
    )
    done = rewritten(point, "split_concat", maps=(torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)))
    assert parts(done) == [(((0, 1),), 1, "Conv2d"), (((1, 1),), 1, "Conv2d")]


def test_there_is_nothing_to_split_in_one_source_or_without_a_convolution():
    assert not REWRITES["split_concat"](last())
    bare = FusionPoint([Branch(((0, 1), (1, 1)))], conv=None, relu=False)
    assert not REWRITES["split_concat"](bare)
    two = FusionPoint(
        [Branch(((0, 1), (1, 1)), conv=conv(4, 3)) for _ in range(2)], conv=None, relu=False
    )
    assert not REWRITES["split_concat"](two)


@pytest.mark.parametrize("bias", [True, False])
def test_coarse_parts_are_nested_into_one(bias):
    done = rewritten(merged(bias=bias), "split_concat", "nest_upsampling")
    assert parts(done) == [(((0, 4), (1, 2), (2, 1)), 2, "Conv2d"), (((3, 1),), 1, "Conv2d")]
    assert [b.conv.bias is not None for b in done.typed_branches()] == [bias, False]
    assert done.typed_branches()[0].conv.weight.shape == (3, 6, 3, 3)
    assert {type(factor) for _, factor in done.typed_branches()[0].sources} == {int}


def test_biases_of_nested_parts_add_up():
    point = rewritten(merged(), "split_concat")
    point.typed_branches()[2].conv.bias = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    first = point.typed_branches()[0].conv.bias.detach()
    done = rewritten(point, "nest_upsampling", maps=inputs(merged()))
    assert torch.allclose(done.typed_branches()[0].conv.bias, first + torch.tensor([1.0, 2.0, 3.0]))


def test_nesting_needs_two_coarse_dense_parts_of_one_source_each():
    nest = REWRITES["nest_upsampling"]
    assert not nest(last())
    assert not nest(merged())
    with torch.no_grad():
        separable = copy.deepcopy(merged(separable=True))
        REWRITES["split_concat"](separable)
        assert not nest(separable)
        laterals = rewritten(joined(), "split_concat")
        assert not nest(laterals)  # one coarse part only
        for branch in laterals.typed_branches():
            branch.factor, branch.lateral = 2, nn.Conv2d(3, 4, 1, bias=False)
        assert not nest(laterals)
        pair = rewritten(merged(), "split_concat")
        pair.branches = pair.branches[1:]  # 4, 2 and 1
        assert nest(copy.deepcopy(pair))
        pair.branches[0].sources = ((0, 1), (1, 1))
        assert not nest(pair)


def test_separable_convolutions_become_dense():
    done = rewritten(joined(separable=True), "compose_separable")
    assert type(done.conv).__name__ == "Conv2d"
    assert done.conv.kernel_size == (3, 3)
    done = rewritten(last(separable=True), "compose_separable")
    assert parts(done) == [(((0, 1),), 2, "Conv2d")]
    assert not REWRITES["compose_separable"](done)
    assert not REWRITES["compose_separable"](joined())


@pytest.mark.parametrize("separable", [False, True])
def test_laterals_go_into_what_follows(separable):
    done = rewritten(joined(separable), "compose_laterals")
    second = "SeparableConv" if separable else "Conv2d"
    assert parts(done) == [(((0, 1),), 1, "Conv2d"), (((1, 1),), 2, second)]
    assert [b.lateral for b in done.typed_branches()] == [None, None]
    assert done.typed_branches()[0].conv.weight.shape == (5, 3, 3, 3)
    assert not REWRITES["compose_laterals"](done)
    assert rewritten(rewritten(joined(), "split_concat"), "compose_laterals")


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("factor", [2, 4])
def test_enlarging_becomes_a_transposed_convolution(factor, separable):
    done = rewritten(last(factor, separable), "upsample_to_transposed")
    assert parts(done) == [(((0, 1),), 1, "Sequential" if separable else "ConvTranspose2d")]
    assert not REWRITES["upsample_to_transposed"](done)


@pytest.mark.parametrize("name", ["upsample_to_transposed", "upsample_to_pixelshuffle"])
def test_a_joined_site_is_split_to_enlarge(name):
    done = rewritten(joined(), name)
    kind = "PhaseConv" if name.endswith("shuffle") else "ConvTranspose2d"
    assert parts(done) == [(((0, 1),), 1, "Conv2d"), (((1, 1),), 1, kind)]
    flat = joined()
    flat.typed_branches()[1].factor = 1
    assert not REWRITES[name](flat)
    assert flat.conv is not None  # and it is not split for nothing


def test_shuffling_takes_the_last_factor_of_two():
    for factor in (2, 4, 8):
        done = rewritten(last(factor), "upsample_to_pixelshuffle")
        assert parts(done) == [(((0, 1),), factor // 2, "PhaseConv")]
    assert isinstance(done.typed_branches()[0].conv, PhaseConv)
    assert not REWRITES["upsample_to_pixelshuffle"](done)  # what is shuffled is no plain 3x3
    assert not REWRITES["upsample_to_pixelshuffle"](last(separable=True))


class Holder(nn.Module):
    """Stands for a `RewritableGenerator`."""

    def __init__(self, points):
        super().__init__()
        self.points = points
        self.weight = nn.Parameter(torch.zeros(1))

    def fusion_point(self, name):
        return self.points[name]


WHERE = SimpleNamespace(
    described=SimpleNamespace(fusion_points=lambda points: Holder(points).train())
)


@pytest.fixture
def graph():
    points = {name: joined() for name in FUSION_POINTS} | {"final": last(), "smooth": merged()}
    return Graph(points, nn.Identity(), WHERE, "frozen", ("before",))


def test_steps_are_done_in_order_and_named(graph):
    steps = [Step("split_concat", ("td1", "td2")), Step("compose_laterals", ("td2",))]
    done = apply_rewrites(graph, steps)
    assert done.rewrites == ("before", "split_concat@td1+td2", "compose_laterals@td2")
    assert (done.reference, done.checkpoint, done.norm) == (graph.reference, WHERE, "frozen")
    assert not done.module.training
    assert not done.module.weight.requires_grad
    assert graph.module["td1"].conv is None
    assert graph.module["td3"].conv is not None
    assert graph.module["td1"].typed_branches()[0].lateral is not None
    assert graph.module["td2"].typed_branches()[0].lateral is None


def test_a_step_without_points_goes_wherever_it_fits(graph):
    done = apply_rewrites(graph, [Step("split_concat")])
    assert done.rewrites[1:] == ("split_concat",)
    assert all(point.conv is None for point in graph.module.values())
    assert len(graph.module["smooth"].typed_branches()) == 4


def test_a_step_that_fits_nowhere_is_an_error_unless_it_is_optional(graph):
    with pytest.raises(ValueError, match="compose_separable does not apply at this network;"):
        apply_rewrites(graph, [Step("compose_separable")])
    with pytest.raises(ValueError, match=r"split_concat does not apply at final;"):
        apply_rewrites(graph, [Step("split_concat", ("td1", "final"))])
    optional = Step("compose_separable", optional=True)
    assert apply_rewrites(graph, [optional]).rewrites == ("before",)
    some = Step("split_concat", ("td2", "final"), optional=True)
    assert apply_rewrites(graph, [some]).rewrites == ("before", "split_concat@td2+final")


def test_nothing_is_done_without_steps_or_with_live_norms(graph):
    live = dataclasses.replace(graph, norm="live")
    assert apply_rewrites(live, ()) is live
    words = "live frozen fro gro"
    norms = words.split()  # equal texts, other objects
    for norm in (norms[0], *norms[2:]):
        with pytest.raises(ValueError, match="rewrites need frozen norms"):
            apply_rewrites(dataclasses.replace(graph, norm=norm), [Step("split_concat")])
    apply_rewrites(dataclasses.replace(graph, norm=norms[1]), [Step("split_concat")])


def test_texts_become_steps():
    words = "none all"
    none, every = words.split()  # equal texts, other objects
    assert parse_steps(none) == ()
    assert [str(step) for step in parse_steps(every)] == [
        "compose_separable@final", "compose_laterals", "split_concat",
        "upsample_to_pixelshuffle@final", "upsample_to_transposed",
    ]  # fmt: skip
    assert [step.optional for step in parse_steps(every)] == [True, False, False, False, False]
    assert parse_steps("split_concat@td3+smooth, nest_upsampling,") == (
        Step("split_concat", ("td3", "smooth"), optional=False), Step("nest_upsampling"),
    )  # fmt: skip
    for text, message in (
        ("split_concats", r"unknown rewrite 'split_concats'; did you mean split_concat\? Known:"),
        ("qqqq", "unknown rewrite 'qqqq' Known: split_concat, nest_upsampling"),
        ("split_concat@smoth", r"unknown fusion point 'smoth'; did you mean smooth\?"),
        (" , ", "no rewrites given"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_steps(text)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Step("all").name = "none"
