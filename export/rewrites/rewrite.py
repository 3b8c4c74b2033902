"""Exact rewrites of the prepared network: the same function with less arithmetic or traffic.

Each rewrite is a function on one `FusionPoint` of a `Fused` network; all are exact up to
float32 rounding. Which of them are faster differs per runtime: see `tune`.
"""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...models.network.convolution import SeparableConv
from ...models.network.fusion_points import FUSION_POINTS, Branch, Fused, FusionPoint
from ..graph import Graph
from .kernels import PhaseConv, conv_from, dense_kernel, transposed_conv

Rewrite = Callable[[FusionPoint], bool]


@dataclass(frozen=True)
class Step:
    """A rewrite and its fusion points; none means all where it applies.

    An ``optional`` step that applies nowhere is skipped; any other raises an error then.
    """

    name: str
    points: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        """As on the command line: ``name`` or ``name@point+point``."""
        return f"{self.name}@{'+'.join(self.points)}" if self.points else self.name


def apply_rewrites(graph: Graph, steps: Sequence[Step]) -> Graph:
    """The graph with the steps applied in order.

    Raises:
        ValueError: the network has no fusion points, norms are live (a norm sits between the
            convolution and the next operation), or a step does not apply at a fusion point it
            names.
    """
    if not steps:
        return graph
    with_fusion_points = graph.checkpoint.described.fusion_points
    if with_fusion_points is None:
        name = graph.checkpoint.backbone
        raise ValueError(f"{name} has no fusion points to rewrite; use --rewrite none")
    if graph.norm != "frozen":
        raise ValueError("rewrites need frozen norms; use --norm frozen or --rewrite none")
    module = with_fusion_points(graph.module).eval()
    done = [step for step in steps if _apply_step(module, step)]
    for parameter in module.parameters():
        parameter.requires_grad = False
    names = (*graph.rewrites, *(str(step) for step in done))
    return Graph(module, graph.reference, graph.checkpoint, graph.norm, names)


def parse_steps(text: str) -> tuple[Step, ...]:
    """``split_concat,upsample_to_transposed@td3+smooth`` -> steps; ``none`` -> no steps.

    Raises:
        ValueError: an unknown rewrite or fusion point; the message gives the nearest name.
    """
    if text == "none":
        return ()
    if text == "all":
        return ALL
    steps: list[Step] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, points_text = word.partition("@")
        points = tuple(filter(None, points_text.split("+")))
        _check_known(name, REWRITES, "rewrite")
        for point in points:
            _check_known(point, FUSION_POINTS, "fusion point")
        steps.append(Step(name, points))
    if not steps:
        raise ValueError("no rewrites given; use --rewrite none for none")
    return tuple(steps)


def split_concat(point: FusionPoint) -> bool:
    """A convolution over a concatenation, or over a sum, becomes a sum of convolutions.

    K * [a; b] = K_a * a + K_b * b, where K_a and K_b are the kernel's slices over the input
    channels; and K * (a + b) = K * a + K * b. The bias goes to the first summand. Each part can
    then be convolved at its own scale.
    """
    if point.conv is not None:
        conv, point.conv = point.conv, None
        for number, branch in enumerate(point.typed_branches()):
            branch.conv = copy.deepcopy(conv) if number == 0 else _without_bias(conv)
        return True
    branches = point.typed_branches()
    if len(branches) != 1 or len(branches[0].sources) < 2 or branches[0].conv is None:
        return False
    conv = branches[0].conv
    stops = list(itertools.accumulate(branches[0].widths))
    parts: list[Branch] = []
    for number, (index, factor) in enumerate(branches[0].sources):
        start = stops[number] - branches[0].widths[number]
        part = _channel_slice(conv, start, stops[number], bias=number == 0)
        parts.append(Branch(((index, 1),), factor=factor, conv=part))
    point.branches = nn.ModuleList(parts)
    return True


def nest_upsampling(point: FusionPoint) -> bool:
    """Inputs upsampled by 8, 4 and 2 are first brought to one scale, then upsampled by 2.

    Nearest-neighbour upsampling composes: up8(a) = up2(up4(a)), so [up8(a); up4(b); up2(c)] =
    up2([up4(a); up2(b); c]). One upsampling by 2 is left, which `upsample_to_transposed` and
    `upsample_to_pixelshuffle` can convert.
    """
    coarse = [
        b for b in point.typed_branches() if b.factor > 1 and b.conv is not None and not b.lateral
    ]
    if len(coarse) < 2 or any(len(b.sources) != 1 for b in coarse):
        return False
    if any(isinstance(b.conv, SeparableConv) for b in coarse):
        return False
    kernels = [dense_kernel(_conv_of(b)) for b in coarse]
    biases = [bias for _, bias in kernels if bias is not None]
    kernel = torch.cat([k for k, _ in kernels], dim=1)
    sources = [(b.sources[0][0], b.factor // 2) for b in coarse]
    merged = Branch(sources, factor=2, conv=conv_from(kernel, _summed_biases(biases), padding=1))
    rest = [b for b in point.typed_branches() if b not in coarse]
    point.branches = nn.ModuleList([merged, *rest])
    return True


def compose_separable(point: FusionPoint) -> bool:
    """A depthwise and a pointwise convolution become the dense 3x3 with the product kernel.

    More arithmetic, less memory traffic: faster where there are few output channels.
    """
    changed = False
    for holder in (point, *point.typed_branches()):
        if isinstance(holder.conv, SeparableConv):
            holder.conv = conv_from(*dense_kernel(holder.conv), padding=1)
            changed = True
    return changed


def compose_laterals(point: FusionPoint) -> bool:
    """A bias-free 1x1 convolution is merged into the 3x3 that follows it.

    K * (L x) = (K L) * x with (K L)[o, c] = sum_m K[o, m] L[m, c]. Zero padding stays exact since
    L 0 = 0, and a 1x1 commutes with nearest-neighbour upsampling.
    """
    if all(branch.lateral is None for branch in point.typed_branches()):
        return False
    if point.conv is not None:
        split_concat(point)
    for branch in point.typed_branches():
        if branch.lateral is not None:
            kernel, bias = dense_kernel(_conv_of(branch))
            lateral = branch.lateral.weight.double()[:, :, 0, 0]
            kernel = torch.einsum("omyx,mc->ocyx", kernel, lateral)
            branch.conv, branch.lateral = conv_from(kernel, bias, padding=1), None
    return True


def upsample_to_transposed(point: FusionPoint) -> bool:
    """Upsampling by r and a 3x3 become one transposed convolution, k = r + 2, stride r.

    See `kernels.transposed_kernel`.
    """
    branches = _upsampling_branches(point)
    for branch in branches:
        branch.conv, branch.factor = transposed_conv(_conv_of(branch), branch.factor), 1
    return bool(branches)


def upsample_to_pixelshuffle(point: FusionPoint) -> bool:
    """Upsampling by 2 and a 3x3 become a 2x2 convolution and a pixel shuffle.

    See `kernels.PhaseConv`. Of a larger factor, the last 2 is converted. A separable convolution
    is not converted: use `compose_separable` first.
    """
    branches = [b for b in _upsampling_branches(point) if not isinstance(b.conv, SeparableConv)]
    for branch in branches:
        branch.conv = PhaseConv(*dense_kernel(_conv_of(branch)))
        branch.factor //= 2
    return bool(branches)


REWRITES: dict[str, Rewrite] = {
    "split_concat": split_concat,
    "nest_upsampling": nest_upsampling,
    "compose_separable": compose_separable,
    "compose_laterals": compose_laterals,
    "upsample_to_transposed": upsample_to_transposed,
    "upsample_to_pixelshuffle": upsample_to_pixelshuffle,
}
ALL = (
    Step("compose_separable", ("final",), optional=True),  # only where outputs are few
    Step("compose_laterals"),
    Step("split_concat"),
    Step("upsample_to_pixelshuffle", ("final",)),
    Step("upsample_to_transposed"),
)


def _apply_step(module: Fused, step: Step) -> bool:
    """Whether the step changed anything.

    Raises:
        ValueError: it does not apply at a fusion point it names, and is not optional.
    """
    rewrite = REWRITES[step.name]
    with torch.no_grad():
        changed = {
            name: rewrite(module.fusion_point(name)) for name in step.points or FUSION_POINTS
        }
    idle = [name for name, done in changed.items() if not done]
    if not step.optional and ((step.points and idle) or not any(changed.values())):
        where = ", ".join(idle) if step.points else "this network"
        raise ValueError(f"rewrite {step.name} does not apply at {where}; leave it out")
    return any(changed.values())


def _upsampling_branches(point: FusionPoint) -> list[Branch]:
    """Branches that upsample and then convolve 3x3; splits a shared convolution to get them."""
    if point.conv is not None and any(branch.factor > 1 for branch in point.typed_branches()):
        split_concat(point)
    plain = (nn.Conv2d, SeparableConv)
    return [b for b in point.typed_branches() if b.factor > 1 and isinstance(b.conv, plain)]


def _conv_of(branch: Branch) -> nn.Module:
    assert branch.conv is not None
    return branch.conv


def _without_bias(conv: nn.Module) -> nn.Module:
    bare = copy.deepcopy(conv)
    last = bare.pointwise if isinstance(bare, SeparableConv) else bare
    last.register_parameter("bias", None)
    return bare


def _channel_slice(conv: nn.Module, start: int, stop: int, *, bias: bool) -> nn.Module:
    """``conv`` over some of its input channels; with its bias or without."""
    if isinstance(conv, SeparableConv):
        part = SeparableConv(stop - start, conv.pointwise.out_channels, bias=False)
        part.depthwise.weight.copy_(conv.depthwise.weight[start:stop])
        pointwise = conv.pointwise.weight[:, start:stop]
        part.pointwise = conv_from(pointwise, conv.pointwise.bias if bias else None, padding=0)
        return part
    kernel, whole = dense_kernel(conv)
    return conv_from(kernel[:, start:stop], whole if bias else None, padding=1)


def _summed_biases(biases: Sequence[torch.Tensor]) -> torch.Tensor | None:
    return torch.stack(list(biases)).sum(dim=0) if biases else None


def _check_known(name: str, names: Sequence[str] | dict[str, Rewrite], kind: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, list(names), 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")
