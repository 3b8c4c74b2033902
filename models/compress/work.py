"""What a network's convolutions move and compute, as a function of its architecture record."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..network.registry import build_generator
from ..network.widths import Widths
from .groups import Group, channel_map, groups_of

# Features of a network that a latency model weighs, each a sum over its convolutions.
FEATURES = ("constant", "fine elements", "coarse elements", "depthwise MACs", "other MACs")
_FINE = 4  # sides down to 1/4 of the picture's are fine: their maps are too large for the caches


class Work:
    """The features of a backbone's network at any widths, from one pass at full width.

    A convolution's channels are sums of group widths, so that thousands of records take a second.

    Args:
        backbone: Its name.
        widths: The record to start from; those asked for later may leave blocks out.
        size: (height, width) of the picture in pixels.
        decoder_norm: ``batch`` or ``instance``.
    """

    def __init__(
        self, backbone: str, widths: Widths, size: tuple[int, int], *, decoder_norm: str = "batch"
    ) -> None:
        self._groups = tuple(groups_of(widths))
        dimensions = channel_map(backbone, widths, decoder_norm=decoder_norm).dimensions
        layers = _convolutions(backbone, widths, size, decoder_norm)
        self._depthwise = np.array([layer.groups > 1 for layer, *_ in layers.values()])
        self._fine = np.array([fine for *_, fine in layers.values()])
        self._areas = np.array([areas for _, areas, _ in layers.values()], dtype=float)
        self._kernel = np.array([layer.weight[0, 0].numel() for layer, *_ in layers.values()])
        rows = [(dimensions[f"{name}.weight"], layer) for name, (layer, *_) in layers.items()]
        self._out = self._matrix([d[0] for d, _ in rows], [ly.out_channels for _, ly in rows])
        # A depthwise convolution reads as many channels as it writes.
        reads = [d[0] if layer.groups > 1 else d[1] for d, layer in rows]
        self._in = self._matrix(reads, [ly.in_channels for _, ly in rows])

    def features(self, widths: Widths) -> tuple[float, ...]:
        """`FEATURES` of a record: 1, then millions of elements and of multiply-accumulates.

        Elements are those that convolutions read and write, on maps down to 1/4 of the picture's
        sides (fine) and on smaller ones (coarse).
        """
        found = groups_of(widths)
        vector = np.array([1.0, *(found.get(group, 0) for group in self._groups)])
        reads, writes = self._in @ vector, self._out @ vector
        there = (reads > 0) & (writes > 0)  # the layers of a block that is left out are not
        reads, writes = reads * there, writes * there
        moved = reads * self._areas[:, 0] + writes * self._areas[:, 1]
        inputs = np.where(self._depthwise, 1.0, reads)
        macs = writes * self._areas[:, 1] * self._kernel * inputs
        sums = (
            moved[self._fine].sum(),
            moved[~self._fine].sum(),
            macs[self._depthwise].sum(),
            macs[~self._depthwise].sum(),
        )
        return (1.0, *(float(each) / 1e6 for each in sums))

    def macs(self, widths: Widths) -> float:
        """Multiply-accumulates of all convolutions, in millions."""
        return sum(self.features(widths)[-2:])

    def _matrix(self, dimensions: list[tuple[Group, ...]], channels: list[int]) -> np.ndarray:
        """(layers, 1 + groups): channels that belong to no group, then which groups add up."""
        matrix = np.zeros((len(dimensions), 1 + len(self._groups)))
        for row, (groups, width) in enumerate(zip(dimensions, channels, strict=True)):
            for group in groups:
                matrix[row, 1 + self._groups.index(group)] = 1
            if not groups:
                matrix[row, 0] = width
        return matrix


def _convolutions(
    backbone: str, widths: Widths, size: tuple[int, int], decoder_norm: str
) -> dict[str, tuple[nn.Conv2d, tuple[int, int], bool]]:
    """By name: the layer, the pixels of its input and output, and whether its input is fine."""
    found: dict[str, tuple[nn.Conv2d, tuple[int, int], bool]] = {}
    with torch.device("meta"), torch.no_grad():
        generator = build_generator(backbone, decoder_norm=decoder_norm, widths=widths).eval()
        names = {id(module): name for name, module in generator.named_modules()}

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            assert isinstance(layer, nn.Conv2d)
            before, after = inputs[0].shape[2:], output.shape[2:]
            areas = (before.numel(), after.numel())
            found[names[id(layer)]] = (layer, areas, before[-1] * _FINE >= size[1])

        hooks: list[Any] = [
            layer.register_forward_hook(note)
            for layer in generator.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        generator(torch.empty(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return found
