"""Slices a network's weights: exactly the kept channels, of every tensor that runs over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..network.pyramid import PyramidGenerator
from ..network.registry import build_pyramid, get_backbone
from ..network.widths import check_widths
from .groups import Group, channel_map, group_name, groups_of, with_widths


@torch.no_grad()
def slice_generator(
    generator: PyramidGenerator, kept: Mapping[Group, Sequence[int]]
) -> PyramidGenerator:
    """A narrower generator with the kept channels of each group, in ascending order.

    Where the channels left out contribute nothing (all weights that read them are zero), it
    computes the same. A group without channels leaves its block out, which must be one that adds
    its input to its output; groups that are not named keep all.

    Args:
        generator: The network; not modified.
        kept: Channel numbers by group.

    Raises:
        ValueError: an unknown group, a channel that does not exist or stands there twice, or
            nothing kept of a group that cannot be left out.
    """
    before = groups_of(generator.widths)
    channels = {group: list(range(width)) for group, width in before.items()}
    for group, numbers in kept.items():
        if group not in before:
            raise ValueError(f"there is no channel group {group_name(group)} in this network")
        if sorted(set(numbers)) != sorted(numbers) or not set(numbers) <= set(channels[group]):
            raise ValueError(f"{group_name(group)}: channels must be different numbers below "
                             f"{before[group]}")  # fmt: skip
        if not numbers and group[0] != "hidden":
            raise ValueError(f"{group_name(group)} cannot be left out; keep some of its channels")
        channels[group] = sorted(numbers)
    widths = with_widths(generator.widths, {group: len(c) for group, c in channels.items()})
    check_widths(widths, get_backbone(generator.backbone).widths)
    narrow = build_pyramid(generator.backbone, decoder_norm=generator.decoder_norm, widths=widths)
    dimensions = channel_map(
        generator.backbone, generator.widths, decoder_norm=generator.decoder_norm
    ).dimensions
    whole = generator.state_dict()
    state = {
        name: _kept(whole[name], dimensions[name], channels, before) for name in narrow.state_dict()
    }
    narrow.load_state_dict(state)
    return narrow.train(generator.training)


def _kept(
    tensor: Tensor,
    dimensions: Sequence[Sequence[Group]],
    channels: Mapping[Group, Sequence[int]],
    before: Mapping[Group, int],
) -> Tensor:
    for place, groups in enumerate(dimensions):
        if not groups:
            continue
        numbers: list[int] = []
        start = 0
        for group in groups:
            numbers += [start + number for number in channels[group]]
            start += before[group]
        tensor = tensor.index_select(place, torch.tensor(numbers, device=tensor.device))
    return tensor.clone()
