"""Every loss against numbers that a person can check."""

from __future__ import annotations

import math

import pytest
import torch
from edgedeblur.models.training.objective import losses
from torch import nn


def scores(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_pixel_losses_by_hand():
    restored = torch.tensor([[[[0.5, -0.5]]]])
    sharp = torch.tensor([[[[0.0, 0.5]]]])
    assert float(losses.pixel_loss("l1", restored, sharp)) == pytest.approx((0.5 + 1.0) / 2)
    assert float(losses.pixel_loss("mse", restored, sharp)) == pytest.approx((0.25 + 1.0) / 2)
    with pytest.raises(ValueError, match="l1, mse or psnr, not 'huber'"):
        losses.pixel_loss("huber", restored, sharp)


def test_missing_decibels_by_hand():
    # Differences of 0.2 and 0.02 everywhere: mean squares / 4 are 1e-2 (20 dB) and 1e-4 (40 dB).
    sharp = torch.zeros(2, 3, 4, 4)
    restored = sharp.clone()
    restored[0], restored[1] = 0.2, -0.02
    expected = (10 * math.log10(101) + 10 * math.log10(2)) / 2
    assert float(losses.pixel_loss("psnr", restored, sharp)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.missing_decibels(sharp, sharp)) == 0.0


def test_frequency_loss_of_a_constant_is_its_direct_component():
    # A difference of d over h x w pixels has one orthonormal coefficient, d * sqrt(h * w); the
    # half spectrum of 4x6 has 4 x (6/2 + 1) = 16 complex numbers, so 32 values are averaged.
    restored, sharp = torch.full((1, 1, 4, 6), 0.5), torch.zeros(1, 1, 4, 6)
    expected = 0.5 * math.sqrt(24) / 32
    assert float(losses.frequency_loss(restored, sharp)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.frequency_loss(sharp, sharp)) == 0.0


def test_relativistic_least_squares_by_hand():
    # Means: real 1.5, fake 0. Discriminator: ((1-0-1)^2 + (2-0-1)^2)/2 + ((-1-1.5+1)^2 +
    # (1-1.5+1)^2)/2 = 0.5 + 1.25.
    real, fake = scores(1.0, 2.0), scores(-1.0, 1.0)
    assert float(losses.ragan_ls_discriminator(real, fake)) == pytest.approx(0.5 + 1.25)
    # Generator, roles exchanged: ((-1-1.5-1)^2 + (1-1.5-1)^2)/2 + ((1-0+1)^2 + (2-0+1)^2)/2.
    assert float(losses.ragan_ls_generator(real, fake)) == pytest.approx(7.25 + 6.5)


def test_relativistic_loss_uses_the_mean_it_is_given():
    real, fake = scores(1.0, 2.0), scores(-1.0, 1.0)
    zero = losses.ragan_ls_discriminator(real, fake, lambda s: s.mean() * 0)
    assert float(zero) == pytest.approx(((0 + 1) / 2) + ((0 + 4) / 2))


def test_least_squares_by_hand():
    real, fake = scores(1.0, 3.0), scores(0.0, 2.0)
    assert float(losses.lsgan_discriminator(real, fake)) == pytest.approx(0.5 * 2 + 0.5 * 2)
    assert float(losses.lsgan_generator(fake)) == pytest.approx(0.5 * (1 + 1) / 2)


def test_wasserstein_by_hand():
    real, fake = scores(1.0, 3.0), scores(0.0, 1.0)
    assert float(losses.wgan_critic(real, fake)) == pytest.approx(0.5 - 2.0)
    assert float(losses.wgan_generator(fake)) == pytest.approx(-0.5)


class Linear(nn.Module):
    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, image):
        return self.slope * image.sum((1, 2, 3))


@pytest.mark.parametrize("slope", [0.5, -2.0])
def test_gradient_penalty_of_a_linear_critic(slope):
    # The gradient is `slope` for each of 12 values: its norm is |slope| sqrt(12) everywhere.
    critic = Linear(slope)
    real, fake = torch.rand(2, 3, 2, 2), torch.rand(2, 3, 2, 2)
    penalty = losses.gradient_penalty(critic, real, fake, torch.rand(2, 1, 1, 1))
    norm = abs(slope) * math.sqrt(12)
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    penalty.backward()
    derivative = 2 * (norm - 1) * math.sqrt(12) * math.copysign(1, slope)
    assert float(critic.slope.grad) == pytest.approx(derivative, rel=1e-5)


def test_gradient_penalty_looks_between_the_pictures():
    seen = []

    class Spy(nn.Module):
        def forward(self, image):
            seen.append(image.detach())
            return image.sum((1, 2, 3))

    real, fake = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    losses.gradient_penalty(Spy(), real, fake, torch.full((1, 1, 1, 1), 0.25))
    assert torch.equal(seen[0], torch.full((1, 3, 2, 2), 0.25))
