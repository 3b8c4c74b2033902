"""Exact rewrites of the prepared network: the same function with less arithmetic or traffic.

Each rewrite is one function on a `SiteGenerator`; none touches a weight's meaning, all are exact
but for float32 rounding. Which of them pay differs per runtime: see `tune`.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...models.network.convolution import SeparableConv
from ..graph import Graph
from .fusion_points import SITES, Branch, Site, SiteGenerator
from .kernels import PhaseConv, conv_from, dense_kernel, transposed_conv

Rewrite = Callable[[Site], bool]


@dataclass(frozen=True)
class Step:
    """A rewrite and the sites it is for; no sites means everywhere it fits.

    An ``optional`` step that fits nowhere is passed over; any other is an error then.
    """

    name: str
    sites: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        """As on the command line: ``name`` or ``name@site+site``."""
        return f"{self.name}@{'+'.join(self.sites)}" if self.sites else self.name


def apply_rewrites(graph: Graph, steps: Sequence[Step]) -> Graph:
    """The graph with the steps applied in order.

    Raises:
        ValueError: norms are live (a norm stands between the convolution and what follows), or a
            step fits nowhere it was asked for.
    """
    if not steps:
        return graph
    if graph.norm != "frozen":
        raise ValueError("rewrites need frozen norms; use --norm frozen or --rewrite none")
    module = SiteGenerator(graph.module).eval()  # pyright: ignore[reportArgumentType]
    done = [step for step in steps if _apply(module, step)]
    for parameter in module.parameters():
        parameter.requires_grad = False
    names = (*graph.rewrites, *(str(step) for step in done))
    return Graph(module, graph.reference, graph.checkpoint, graph.norm, names)


def parse_steps(text: str) -> tuple[Step, ...]:
    """``split_concat,upsample_to_transposed@td3+smooth`` -> steps; ``none`` -> no steps.

    Raises:
        ValueError: an unknown rewrite or site, with the nearest name.
    """
    if text == "none":
        return ()
    if text == "all":
        return ALL
    steps: list[Step] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, places = word.partition("@")
        sites = tuple(filter(None, places.split("+")))
        _known(name, REWRITES, "rewrite")
        for site in sites:
            _known(site, SITES, "site")
        steps.append(Step(name, sites))
    if not steps:
        raise ValueError("no rewrites named; use --rewrite none for none")
    return tuple(steps)


def split_concat(site: Site) -> bool:
    """A convolution over a concatenation, or over a sum, becomes a sum of convolutions.

    K * [a; b] = K_a * a + K_b * b, where K_a and K_b are the kernel's slices over the input
    channels; and K * (a + b) = K * a + K * b. The bias goes to the first summand. Each part can
    then be convolved at its own scale.
    """
    if site.conv is not None:
        conv, site.conv = site.conv, None
        for number, branch in enumerate(site.each()):
            branch.conv = copy.deepcopy(conv) if number == 0 else _without_bias(conv)
        return True
    branches = site.each()
    if len(branches) != 1 or len(branches[0].sources) < 2 or branches[0].conv is None:
        return False
    conv = branches[0].conv
    width = _channels_in(conv) // len(branches[0].sources)  # the four heads are equally wide
    parts: list[Branch] = []
    for number, (index, factor) in enumerate(branches[0].sources):
        part = _channel_slice(conv, number * width, (number + 1) * width, bias=number == 0)
        parts.append(Branch(((index, 1),), factor=factor, conv=part))
    site.branches = nn.ModuleList(parts)
    return True


def nest_upsampling(site: Site) -> bool:
    """Parts that are enlarged by 8, 4 and 2 are first brought to one scale, then enlarged by 2.

    Nearest enlargement composes: up8(a) = up2(up4(a)), so [up8(a); up4(b); up2(c)] =
    up2([up4(a); up2(b); c]). One enlargement by 2 is left, which `upsample_to_transposed` and
    `upsample_to_pixelshuffle` take at once.
    """
    coarse = [b for b in site.each() if b.factor > 1 and b.conv is not None and not b.lateral]
    if len(coarse) < 2 or any(len(b.sources) != 1 for b in coarse):
        return False
    if any(isinstance(b.conv, SeparableConv) for b in coarse):
        return False
    kernels = [dense_kernel(_conv(b)) for b in coarse]
    biases = [bias for _, bias in kernels if bias is not None]
    kernel = torch.cat([k for k, _ in kernels], dim=1)
    sources = [(b.sources[0][0], b.factor // 2) for b in coarse]
    merged = Branch(sources, factor=2, conv=conv_from(kernel, _sum(biases), padding=1))
    rest = [b for b in site.each() if b not in coarse]
    site.branches = nn.ModuleList([merged, *rest])
    return True


def compose_separable(site: Site) -> bool:
    """A depthwise and a pointwise convolution become the dense 3x3 with the product kernel.

    More arithmetic, less traffic: it pays where there are few output channels.
    """
    changed = False
    for holder in (site, *site.each()):
        if isinstance(holder.conv, SeparableConv):
            holder.conv = conv_from(*dense_kernel(holder.conv), padding=1)
            changed = True
    return changed


def compose_laterals(site: Site) -> bool:
    """A bias-free 1x1 convolution goes into the 3x3 that follows it.

    K * (L x) = (K L) * x with (K L)[o, c] = sum_m K[o, m] L[m, c]. Zero padding stays exact since
    L 0 = 0, and a 1x1 commutes with nearest enlargement.
    """
    if all(branch.lateral is None for branch in site.each()):
        return False
    if site.conv is not None:
        split_concat(site)
    for branch in site.each():
        if branch.lateral is not None:
            kernel, bias = dense_kernel(_conv(branch))
            lateral = branch.lateral.weight.double()[:, :, 0, 0]
            kernel = torch.einsum("omyx,mc->ocyx", kernel, lateral)
            branch.conv, branch.lateral = conv_from(kernel, bias, padding=1), None
    return True


def upsample_to_transposed(site: Site) -> bool:
    """Nearest enlargement by r and a 3x3 become one transposed convolution, k = r + 2, stride r.

    See `kernels.transposed_kernel`.
    """
    branches = _enlarging(site)
    for branch in branches:
        branch.conv, branch.factor = transposed_conv(_conv(branch), branch.factor), 1
    return bool(branches)


def upsample_to_pixelshuffle(site: Site) -> bool:
    """Nearest enlargement by 2 and a 3x3 become a 2x2 with four outputs each, shuffled into place.

    See `kernels.PhaseConv`. Of a larger enlargement the last factor of 2 is taken. A separable
    convolution is left alone: use `compose_separable` first.
    """
    branches = [b for b in _enlarging(site) if not isinstance(b.conv, SeparableConv)]
    for branch in branches:
        branch.conv = PhaseConv(*dense_kernel(_conv(branch)))
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


def _apply(module: SiteGenerator, step: Step) -> bool:
    """Whether the step did anything.

    Raises:
        ValueError: it did not everywhere it was asked for, and is not optional.
    """
    rewrite = REWRITES[step.name]
    with torch.no_grad():
        changed = {name: rewrite(module.site(name)) for name in step.sites or SITES}
    idle = [name for name, done in changed.items() if not done]
    if not step.optional and ((step.sites and idle) or not any(changed.values())):
        where = ", ".join(idle) if step.sites else "this network"
        raise ValueError(f"rewrite {step.name} has nothing to do at {where}; leave it out")
    return any(changed.values())


def _enlarging(site: Site) -> list[Branch]:
    """Branches whose enlargement is followed by a 3x3; a joined site is split to get them."""
    if site.conv is not None and any(branch.factor > 1 for branch in site.each()):
        split_concat(site)
    plain = (nn.Conv2d, SeparableConv)
    return [b for b in site.each() if b.factor > 1 and isinstance(b.conv, plain)]


def _conv(branch: Branch) -> nn.Module:
    assert branch.conv is not None
    return branch.conv


def _without_bias(conv: nn.Module) -> nn.Module:
    bare = copy.deepcopy(conv)
    last = bare.pointwise if isinstance(bare, SeparableConv) else bare
    last.register_parameter("bias", None)
    return bare


def _channels_in(conv: nn.Module) -> int:
    first = conv.depthwise if isinstance(conv, SeparableConv) else conv
    assert isinstance(first, nn.Conv2d)
    return first.in_channels


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


def _sum(biases: Sequence[torch.Tensor]) -> torch.Tensor | None:
    return torch.stack(list(biases)).sum(dim=0) if biases else None


def _known(name: str, names: Sequence[str] | dict[str, Rewrite], kind: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, list(names), 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")
