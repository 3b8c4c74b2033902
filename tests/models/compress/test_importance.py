"""Importance against a channel that is really switched off, and against a hand computation."""

import pytest
import torch
from edgedeblur.models.compress.groups import channel_map, groups_of
from edgedeblur.models.compress.importance import norm_importance, taylor_importance

from tests.models.compress.test_slicing import scale, silence
from tests.models.network.test_widths import NARROW, randomised


def pair(seed=3):
    generator = torch.Generator().manual_seed(seed)
    blurry = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    return blurry, (blurry * 0.9 + 0.02).clamp(-1, 1)


def loss(generator, blurry, sharp):
    return torch.log10((generator(blurry) - sharp).square().mean((1, 2, 3))).mean()


@pytest.mark.parametrize("group", [("smooth", 0), ("hidden", 4), ("heads", 3, 1), ("streams", 3)])
def test_importance_is_the_squared_derivative_of_a_gate(group):
    generator = randomised("mobilenet", NARROW).double()
    blurry, sharp = (t.double() for t in pair())
    found = taylor_importance(generator, [(blurry, sharp)])[group]
    mapping, groups = channel_map("mobilenet", NARROW), groups_of(NARROW)
    step = 1e-5
    for channel in range(2):
        values = []
        for sign in (1, -1):
            gated = randomised("mobilenet", NARROW).double()
            scale(gated, mapping, group, channel, groups, 1 + sign * step)
            with torch.no_grad():
                values.append(float(loss(gated, blurry, sharp)))
        derivative = (values[0] - values[1]) / (2 * step)
        assert float(found[channel]) == pytest.approx(derivative**2, rel=1e-3, abs=1e-12)


def test_channels_that_nothing_reads_have_no_importance():
    generator = randomised("mobilenet_dsc", NARROW)
    mapping, groups = channel_map("mobilenet_dsc", NARROW), groups_of(NARROW)
    for group in (("smooth", 0), ("heads", 2, 1)):
        silence(generator, mapping, group, {1, 3}, groups)
    taylor, norm = taylor_importance(generator, [pair()]), norm_importance(generator)
    for group in (("smooth", 0), ("heads", 2, 1)):
        assert (norm[group] == 0).nonzero().flatten().tolist() == [1, 3]
        assert taylor[group][[1, 3]].tolist() == [0, 0]  # of the others, some are dead for ReLU
        assert taylor[group].max() > 0


def test_importance_is_a_mean_over_batches_and_leaves_the_network_alone():
    generator = randomised("mobilenet_dsc", NARROW).train()
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    first, second = (taylor_importance(generator, [pair(seed)]) for seed in (1, 2))
    both = taylor_importance(generator, [pair(1), pair(2)])
    for group, values in both.items():
        torch.testing.assert_close(values, (first[group] + second[group]) / 2)
    assert generator.training
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(torch.equal(t, before[n]) for n, t in generator.state_dict().items())


def test_norm_importance_by_hand():
    generator = randomised("mobilenet", NARROW)
    weight = generator.smooth2[0].weight.detach().double()
    expected = weight.square().sum((0, 2, 3))
    torch.testing.assert_close(norm_importance(generator)["smooth", 0], expected)


def test_no_pictures_and_no_numbers_are_refused():
    generator = randomised("mobilenet_dsc", NARROW)
    with pytest.raises(ValueError, match="at least one batch"):
        taylor_importance(generator, [])
    blurry, sharp = pair()
    with pytest.raises(ValueError, match="not finite"):
        taylor_importance(generator, [(blurry * torch.nan, sharp)])
