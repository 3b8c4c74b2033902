"""Importance of channels: what the loss would change if a channel were switched off.

First-order Taylor expansion (Molchanov et al., "Importance Estimation for Neural Network Pruning",
CVPR 2019, equation 8, with gates on the channels): for a gate of value 1 on a channel's inputs to
all layers that read it, dL/dgate is the sum of weight times gradient over those layers' weights.
The square of it, summed over batches, is the channel's importance.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..network.pyramid import PyramidGenerator
from .groups import ChannelMap, Group, channel_map, groups_of

Importance = dict[Group, Tensor]  # float64 (channels,), at least 0


def taylor_importance(
    generator: PyramidGenerator, batches: Iterable[tuple[Tensor, Tensor]]
) -> Importance:
    """Importance of every channel, from real pairs, with the running statistics of the norms.

    Args:
        generator: The network; its gradients are cleared, nothing else is changed.
        batches: Blurry and sharp pictures, float32 (N, 3, H, W), RGB in [-1, 1].

    Raises:
        ValueError: no batch, or a gradient that is not finite.
    """
    mapping = channel_map(generator.backbone, generator.widths, decoder_norm=generator.decoder_norm)
    widths = groups_of(generator.widths)
    total = {group: torch.zeros(width, dtype=torch.float64) for group, width in widths.items()}
    was_training = generator.training
    generator.eval()
    count = 0
    for blurry, sharp in batches:
        generator.zero_grad(set_to_none=True)
        error = (generator(blurry) - sharp).square().mean((1, 2, 3))
        torch.log10(error.clamp_min(1e-10)).mean().backward()  # decibels, up to a factor
        weights = dict(generator.named_parameters())
        for group in widths:
            total[group] += _gate_gradient(group, widths, mapping, weights).square()
        count += 1
    generator.zero_grad(set_to_none=True)
    generator.train(was_training)
    if not count:
        raise ValueError("importance needs at least one batch of pictures")
    if not all(torch.isfinite(values).all() for values in total.values()):
        raise ValueError("the gradients are not finite; check the pictures and the checkpoint")
    return {group: values / count for group, values in total.items()}


@torch.no_grad()
def norm_importance(generator: PyramidGenerator) -> Importance:
    """Without pictures: the squared norm of the weights that read each channel."""
    mapping = channel_map(generator.backbone, generator.widths, decoder_norm=generator.decoder_norm)
    widths = groups_of(generator.widths)
    state = generator.state_dict()
    return {
        group: sum(
            (
                _by_channel(state[name].double().square(), group, widths, mapping, name)
                for name in mapping.consumers(group)
            ),
            torch.zeros(width, dtype=torch.float64),
        )
        for group, width in widths.items()
    }


def _gate_gradient(
    group: Group,
    widths: dict[Group, int],
    mapping: ChannelMap,
    weights: dict[str, torch.nn.Parameter],
) -> Tensor:
    total = torch.zeros(widths[group], dtype=torch.float64)
    for name in mapping.consumers(group):
        weight = weights[name]
        if weight.grad is not None:
            product = (weight.detach() * weight.grad).double()
            total += _by_channel(product, group, widths, mapping, name).cpu()
    return total


def _by_channel(
    values: Tensor, group: Group, widths: dict[Group, int], mapping: ChannelMap, name: str
) -> Tensor:
    """Sums of (out, in, k, k) over all but the group's part of the input channels."""
    start = 0
    for other in mapping.dimensions[name][1]:
        if other == group:
            break
        start += widths[other]
    return values.sum((0, 2, 3))[start : start + widths[group]]
