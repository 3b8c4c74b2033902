"""The weighted losses of a step, and the optimiser."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..config import Loss, Optim
from ..extras import Extras
from . import losses
from .adversary import Adversary


def weighted_losses(
    wanted: Loss,
    restored: Tensor,
    blurry: Tensor,
    sharp: Tensor,
    extras: Extras,
    adversary: Adversary | None,
) -> dict[str, Tensor]:
    """Every loss that is switched on, times its weight; their sum is the generator's loss.

    Pictures: float (N, 3, H, W), RGB in [-1, 1].
    """
    parts: dict[str, Tensor] = {}
    if wanted.pixel and wanted.pixel_kind != "none":
        parts["pixel"] = wanted.pixel * losses.pixel_loss(wanted.pixel_kind, restored, sharp)
    if wanted.frequency:
        parts["frequency"] = wanted.frequency * losses.frequency_loss(restored, sharp)
    if wanted.perceptual and extras.perceptual is not None:
        value = cast("Tensor", extras.perceptual(restored, sharp))
        parts["perceptual"] = wanted.perceptual * value
    if wanted.teaches and extras.teacher is not None:
        with torch.no_grad():
            taught = cast("Tensor", extras.teacher(blurry)).float()
        if wanted.distill and wanted.distill_kind != "none":
            difference = losses.pixel_loss(wanted.distill_kind, restored, taught)
            parts["distill"] = wanted.distill * difference
        if extras.features is not None:
            parts["feature"] = wanted.feature * extras.features.loss()
    if adversary is not None:
        parts["adversarial"] = wanted.adversarial * adversary.generator_loss(restored, sharp)
    return parts


def build_optimiser(optim: Optim, generator: nn.Module) -> torch.optim.Optimizer:
    """Adam or AdamW over all parameters of a generator."""
    kind = torch.optim.AdamW if optim.optimiser == "adamw" else torch.optim.Adam
    # Norms and biases are not decayed: it would only fight their statistics.
    weights = [p for p in generator.parameters() if p.ndim > 1]
    others = [p for p in generator.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": optim.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return kind(groups, lr=optim.lr, betas=(optim.beta1, optim.beta2))
