"""Losses where a wrong sign or power would show, in numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from edgedeblur.models.training.objective import losses
from torch import nn


def test_every_kind_of_pixel_loss_is_the_one_it_says():
    restored, sharp = torch.full((1, 1, 1, 2), 0.5), torch.full((1, 1, 1, 2), 0.3)
    words = "l1 mse psnr"
    kinds = words.split()  # equal texts, other objects
    found = [float(losses.pixel_loss(kind, restored, sharp)) for kind in kinds]
    assert found == pytest.approx([0.2, 0.04, 10 * math.log10(101)], rel=1e-5)
    for kind in ("none", "l2", "ssim", ""):
        with pytest.raises(ValueError, match="must be l1, mse or psnr"):
            losses.pixel_loss(kind, restored, sharp)


def test_missing_decibels_of_part_of_a_picture():
    # One value of four is off by 0.06: a mean square of 9e-4, a quarter of it 2.25e-4.
    sharp = torch.full((1, 2, 1, 2), 0.4)
    restored = sharp.clone()
    restored[0, 1, 0, 1] -= 0.06
    expected = 10 * math.log10(2.25 + 1)
    assert float(losses.missing_decibels(restored, sharp)) == pytest.approx(expected, rel=1e-5)


def test_frequency_loss_is_of_the_difference():
    sharp = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    assert float(losses.frequency_loss(sharp + 0.5, sharp)) == pytest.approx(
        0.5 * math.sqrt(24) / 32, rel=1e-5
    )


def test_least_squares_are_halves_of_squares():
    real, fake = torch.tensor([0.0, 4.0]), torch.tensor([1.0, -3.0])
    # Half of (1 + 9) / 2, and half of (1 + 9) / 2; the generator: half of (0 + 16) / 2.
    assert float(losses.lsgan_discriminator(real, fake)) == 5.0
    assert float(losses.lsgan_generator(fake)) == 4.0


class Spy(nn.Module):
    def forward(self, image):
        self.seen = image
        return (image**2).sum((1, 2, 3)) / 2  # its gradient is the picture itself


def test_gradient_penalty_stands_at_the_share_of_the_real_picture():
    spy = Spy()
    real, fake = torch.full((2, 1, 1, 4), 2.0), torch.full((2, 1, 1, 4), -4.0)
    share = torch.tensor([0.25, 0.5]).reshape(2, 1, 1, 1)
    penalty = losses.gradient_penalty(spy, real, fake, share).detach()
    assert spy.seen[:, 0, 0, 0].tolist() == [-2.5, -1.0]
    # Lengths of the gradients: 2.5 and 1 times the root of 4 values.
    assert float(penalty) == pytest.approx(((5 - 1) ** 2 + (2 - 1) ** 2) / 2)
