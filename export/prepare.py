"""Prepares a checkpoint for export: sets the norm mode, drops unused layers, folds norms."""

from __future__ import annotations

import copy
import dataclasses
import hashlib

from torch import Tensor, nn

from ..models.checkpoints.checkpoint import Checkpoint, generator_from
from ..models.network.generator import Generator
from ..models.network.network import Network
from ..models.network.norm import decompose_live_norms, fold_norms
from ..models.network.registry import get_network
from .graph import Graph


def prepare(checkpoint: Checkpoint, *, norm: str) -> Graph:
    """Build the network that exporters get.

    Frozen norms are folded here, before any exporter runs: some exporters silently turn a frozen
    InstanceNorm into a live one.

    Raises:
        ValueError: ``norm`` is neither ``frozen`` nor ``live``.
    """
    reference = generator_from(checkpoint, norm=norm)
    trimmed = drop_unused_features(reference)
    module = fold_norms(trimmed) if norm == "frozen" else decompose_live_norms(trimmed)
    for parameter in module.parameters():
        parameter.requires_grad = False
    return Graph(module, reference, checkpoint, norm)


def check_norm_size(network: Network, norm: str, size: tuple[int, int]) -> None:
    """Refuse live norms where there are none, or at a size where the smallest maps are one pixel.

    Raises:
        ValueError: live norms of a network without norms; or at 32x32, where the pyramid's last
            maps are a single pixel.
    """
    side = network.smallest_side
    if norm == "live" and not network.norms:
        raise ValueError(f"{network.name} has no norms; leave out --norm live")
    if norm == "live" and network.single_pixel_maps and size == (side, side):
        raise ValueError(
            f"--norm live cannot be used at {side}x{side}: the network's smallest maps are one "
            f"pixel there, which has no variance; use a larger --size ({side}x{2 * side} is "
            "enough) or --norm frozen"
        )


def norm_warning(norm: str, trained: str) -> str:
    """The warning for weights exported in another norm mode than they were trained for."""
    return (
        f"these weights were trained for {trained} norms and are exported with {norm} ones, which "
        f"is another function; parity below compares with PyTorch in {norm} mode and says nothing "
        f"about that difference (deblur-bench --engine CHECKPOINT shows the {trained} one)"
    )


def drop_unused_features(generator: Generator) -> Generator:
    """A copy without the layers that released files store and inference never touches."""
    trimmed = copy.deepcopy(generator)
    stored = dict(trimmed.named_modules())
    for layer in get_network(generator.backbone).dead:
        parent, _, name = layer.removesuffix(".").rpartition(".")
        if layer.removesuffix(".") in stored:
            delattr(stored[parent], name)
    return trimmed


def with_cached_reference(graph: Graph) -> Graph:
    """The same network, whose reference computes each picture once; see `CachingNetwork`."""
    return dataclasses.replace(graph, reference=CachingNetwork(graph.reference))


class CachingNetwork(nn.Module):
    """Caches the outputs of a network, for exports that compare on the same pictures.

    Each cached output takes about 11 MB at 736x1280.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._answers: dict[bytes, Tensor] = {}

    def forward(self, image: Tensor) -> Tensor:
        """float32 (1, 3, H, W) -> the same."""
        key = hashlib.sha256(image.numpy().tobytes()).digest() + str(tuple(image.shape)).encode()
        if key not in self._answers:
            self._answers[key] = self.network(image)
        return self._answers[key]
