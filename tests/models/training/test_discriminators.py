"""Receptive fields by the gradient, not by the formula that built them."""

from __future__ import annotations

import pytest
import torch
from edgedeblur.models.training.objective.discriminators import (
    FULL_LAYERS,
    PATCH_LAYERS,
    DoubleScale,
    PatchDiscriminator,
    receptive_field,
    smallest_side,
)


def seen_by_one_score(layers, side):
    """Rows that a gradient of the middle score reaches (no norm: it would mix everything)."""
    torch.manual_seed(0)
    net = PatchDiscriminator(layers, norm=False).double()
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    scores = net(image)
    middle = scores.shape[2] // 2
    scores[0, 0, middle, middle].backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero().flatten()
    return int(rows[-1] - rows[0]) + 1


def test_the_patch_branch_sees_70_pixels():
    assert receptive_field(PATCH_LAYERS) == 70
    assert seen_by_one_score(PATCH_LAYERS, 192) == 70


def test_the_full_branch_sees_more_than_the_papers_crops():
    assert receptive_field(FULL_LAYERS) == 286 >= 256


@pytest.mark.parametrize("layers", [PATCH_LAYERS, FULL_LAYERS])
def test_the_smallest_side_is_enough_and_half_of_it_is_not(layers):
    net = PatchDiscriminator(layers).train()
    side = smallest_side(layers)
    assert net(torch.rand(1, 3, side, side)).numel() >= 1
    with pytest.raises((RuntimeError, ValueError)):
        net(torch.rand(1, 3, side // 2, side // 2))


def test_two_branches_answer():
    patch, full = DoubleScale()(torch.rand(2, 3, 128, 128))
    assert patch.shape == (2, 1, 14, 14)
    assert full.shape == (2, 1, 2, 2)
