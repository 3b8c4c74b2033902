"""Checkpoint to graph: choose the norm mode, drop what inference never touches, remove norms."""

from __future__ import annotations

import copy

from ..models.checkpoint import Checkpoint, generator_from
from ..models.generator import Generator
from ..models.norm import fold_norms, spell_out_live_norms
from ..models.registry import get_backbone
from .graph import Graph


def prepare(checkpoint: Checkpoint, *, norm: str) -> Graph:
    """Make the network that exporters see.

    Frozen norms are folded here, before any exporter runs: some exporters turn a frozen
    InstanceNorm into a live one without a word.

    Raises:
        ValueError: ``norm`` is neither ``frozen`` nor ``live``.
    """
    reference = generator_from(checkpoint, norm=norm)
    trimmed = drop_dead_features(reference)
    module = fold_norms(trimmed) if norm == "frozen" else spell_out_live_norms(trimmed)
    for parameter in module.parameters():
        parameter.requires_grad = False
    return Graph(module, reference, checkpoint, norm)


def drop_dead_features(generator: Generator) -> Generator:
    """A copy without the backbone layers after the last pyramid stage (1.2 M parameters)."""
    trimmed = copy.deepcopy(generator)
    live = get_backbone(generator.backbone).live_features
    trimmed.fpn.features = trimmed.fpn.features[:live]
    return trimmed
