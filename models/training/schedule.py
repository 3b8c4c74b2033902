"""Learning rate and training phases as functions of the step alone, so that resuming is exact."""

from __future__ import annotations

import math

from .config import Optim


def learning_rate(optim: Optim, step: int, epoch_steps: int) -> float:
    """Rate of a step (from 0): warm-up, then flat, then linear or cosine decay to `lr_end`.

    DeblurGAN-v2, section 4.2: 1e-4 for 150 epochs, then linearly to 1e-7 over another 150.
    """
    if step < optim.warmup_steps:
        return optim.lr * (step + 1) / optim.warmup_steps
    flat, decay = decay_span(optim, epoch_steps)
    if step < flat or decay == 0:
        return optim.lr
    done = min((step - flat) / max(decay - 1, 1), 1.0)
    share = 1 - done if optim.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return optim.lr_end + (optim.lr - optim.lr_end) * share


def decay_span(optim: Optim, epoch_steps: int) -> tuple[int, int]:
    """The step at which the decay starts, and how many steps it takes; their sum ends the run."""
    if optim.decay_steps:
        return optim.decay_at, optim.decay_steps
    return optim.flat_epochs * epoch_steps, optim.decay_epochs * epoch_steps


def backbone_is_frozen(optim: Optim, step: int, epoch_steps: int) -> bool:
    """Whether the backbone rests in this step (the paper: the first 3 epochs)."""
    return step < optim.frozen_backbone_epochs * epoch_steps


def norms_are_frozen(optim: Optim, step: int, epoch_steps: int) -> bool:
    """Whether this step trains with the running statistics, as inference will use them."""
    return step >= sum(decay_span(optim, epoch_steps)) - optim.frozen_norm_epochs * epoch_steps
