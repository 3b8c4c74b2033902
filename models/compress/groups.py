"""Channel groups: which dimensions of which tensors each width of the architecture record sets.

Found by asking: a network is built on PyTorch's meta device once for each width, a little wider,
and the dimensions that change with it are that width's. So any backbone that builds its layers from
its record can be compressed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..network.registry import build_generator
from ..network.widths import Widths

Group = tuple[str, int] | tuple[str, int, int]  # ("smooth", 0), ("hidden", 3), ("heads", 1, 0)
# The heads' maps are concatenated in this order, see `Generator.residual`.
_CONCATENATED: tuple[Group, ...] = tuple(("heads", index, 1) for index in (3, 2, 1, 0))


@dataclass(frozen=True)
class ChannelMap:
    """For each tensor of the state dict, the groups that each of its dimensions runs over.

    A dimension of no group (kernel sides, the picture's channels) has none, one of several groups
    is their concatenation, in order.
    """

    dimensions: Mapping[str, tuple[tuple[Group, ...], ...]]

    def consumers(self, group: Group) -> list[str]:
        """Weights (out, in, k, k) whose input channels are the group's, alone or among others."""
        return [
            name
            for name, dimensions in self.dimensions.items()
            if len(dimensions) > 1 and group in dimensions[1]
        ]


def groups_of(widths: Widths) -> dict[Group, int]:
    """Every group of a record and its width; layers that are left out have no group."""
    found: dict[Group, int] = {("smooth", 0): widths.smooth, ("smooth2", 0): widths.smooth2}
    for name in ("streams", "hidden", "pyramid"):
        found |= {(name, index): width for index, width in enumerate(getattr(widths, name))}
    for index, head in enumerate(widths.heads):
        found |= {("heads", index, place): width for place, width in enumerate(head)}
    return {group: width for group, width in found.items() if width}


def group_name(group: Group) -> str:
    """``hidden.3``, ``heads.1.0``, ``smooth``: as in the record's JSON."""
    name, *place = group
    return str(name) if name in ("smooth", "smooth2") else ".".join(map(str, (name, *place)))


def with_widths(widths: Widths, changes: Mapping[Group, int]) -> Widths:
    """A copy of the record with other widths for some groups."""
    lists = {name: list(getattr(widths, name)) for name in ("streams", "hidden", "pyramid")}
    heads = [list(head) for head in widths.heads]
    single = {"smooth": widths.smooth, "smooth2": widths.smooth2}
    for (name, *place), width in changes.items():
        if name in single:
            single[name] = width
        elif name == "heads":
            heads[place[0]][place[1]] = width
        else:
            lists[name][place[0]] = width
    return Widths(
        **{name: tuple(values) for name, values in lists.items()},
        heads=tuple((first, second) for first, second in heads),
        smooth=single["smooth"],
        smooth2=single["smooth2"],
    )


@functools.lru_cache(maxsize=16)
def channel_map(backbone: str, widths: Widths, *, decoder_norm: str = "batch") -> ChannelMap:
    """The channel map of a network, from the shapes of its neighbours.

    Raises:
        ValueError: a tensor's dimension runs over several groups that are not the heads'.
    """
    plain = _shapes(backbone, widths, decoder_norm)
    found: dict[str, list[list[Group]]] = {n: [[] for _ in shape] for n, shape in plain.items()}
    for group, width in groups_of(widths).items():
        wider = _shapes(backbone, with_widths(widths, {group: width + 1}), decoder_norm)
        for name, shape in wider.items():
            for place, (before, after) in enumerate(zip(plain[name], shape, strict=True)):
                if before != after:
                    found[name][place].append(group)
    return ChannelMap(
        {name: tuple(_ordered(name, d) for d in dimensions) for name, dimensions in found.items()}
    )


def _ordered(name: str, groups: list[Group]) -> tuple[Group, ...]:
    if len(groups) > 1:
        if set(groups) != set(_CONCATENATED):
            raise ValueError(f"{name} runs over {', '.join(map(group_name, groups))}; only the "
                             "heads' maps are known to be concatenated")  # fmt: skip
        return _CONCATENATED
    return tuple(groups)


def _shapes(backbone: str, widths: Widths, decoder_norm: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        generator = build_generator(backbone, decoder_norm=decoder_norm, widths=widths)
    return {name: tuple(t.shape) for name, t in generator.state_dict().items()}
