from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from edgedeblur.models.network.registry import build_generator
from edgedeblur.quantize.ptq.onnx_graph import quantised_weight, weight_scale
from edgedeblur.quantize.qat.fake_quantize import (
    InputQuantisation,
    fake_quantise,
    in_float,
    rounded_weight,
)
from edgedeblur.quantize.recipe import Recipe


@pytest.fixture(scope="module")
def pictures():
    torch.manual_seed(0)
    return [torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(2)]


@pytest.fixture
def generator():
    torch.manual_seed(1)
    return build_generator("mobilenet_dsc").eval()


def test_weights_round_as_the_exported_graph_does():
    weight = torch.randn(5, 3, 3, 3)
    array = weight.numpy()
    scale = weight_scale(array, 0)
    expected = quantised_weight(array, scale, 0) * scale.reshape(-1, 1, 1, 1)
    assert np.abs(rounded_weight(weight).numpy() - expected).max() <= 1e-6


def test_scaling_channels_afterwards_does_not_change_the_rounding():
    """Why norms need not be folded: Q(s w) = s Q(w) with one scale per output channel."""
    weight, factor = torch.randn(4, 3, 3, 3), torch.tensor([0.1, 2.0, -3.0, 1.0])
    spread = factor.reshape(-1, 1, 1, 1)
    assert torch.allclose(rounded_weight(weight * spread), rounded_weight(weight) * spread)


def test_levels_by_hand():
    assert InputQuantisation.of(-1.0, 1.55) == InputQuantisation(pytest.approx(0.01), 100)
    assert InputQuantisation.of(0.0, 2.55) == InputQuantisation(pytest.approx(0.01), 0)


def test_it_computes_in_8_bits_and_stores_the_same(generator, pictures):
    exact = copy.deepcopy(generator)
    names = list(generator.state_dict())
    count = fake_quantise(generator, pictures, Recipe(keep=("final", "features.0.0")))
    convs = [m for m in generator.modules() if isinstance(m, torch.nn.Conv2d)]
    assert count == len(convs) - 3  # final's two and the first
    assert list(generator.state_dict()) == names
    with torch.no_grad():
        rounded, whole = generator(pictures[0]), exact(pictures[0])
        assert not torch.equal(rounded, whole)
        assert (rounded - whole).abs().max() < 0.2
        with in_float(generator):
            assert torch.equal(generator(pictures[0]), whole)
        assert torch.equal(generator(pictures[0]), rounded)


def test_gradients_pass_and_training_lowers_the_loss(generator, pictures):
    fake_quantise(generator, pictures, Recipe())
    target = pictures[0].roll(1, dims=3)
    optimiser = torch.optim.Adam(generator.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = (generator(pictures[0]) - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    first = generator.fpn.features[0][0]
    assert first.weight.grad is not None
    assert float(first.weight.grad.abs().sum()) > 0
    assert losses[-1] < losses[0]


def test_what_cannot_be_imitated_is_refused(generator, pictures):
    with pytest.raises(ValueError, match="needs static_w8a8_perchannel, not static_w8a16"):
        fake_quantise(generator, pictures, Recipe("static_w8a16"))
    with pytest.raises(ValueError, match="no calibration pictures for quantisation-aware training"):
        fake_quantise(generator, [], Recipe())
