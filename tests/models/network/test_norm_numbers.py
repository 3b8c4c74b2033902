"""Norm statistics, their affine maps and their folding, in numbers that a person can check."""

from __future__ import annotations

import math

import pytest
import torch
from edgedeblur.models.network.convolution import SeparableConv
from edgedeblur.models.network.norm import (
    BatchNorm,
    ExplicitLiveNorm,
    InstanceNorm,
    affine_of,
    decompose_live_norms,
    fold_into,
    fold_norms,
    norms,
    reestimate,
    set_norm_mode,
)
from torch import nn

# Two channels: variances 3 and 8 with an epsilon of 1 make roots of 2 and 3.
MEAN, VARIANCE = torch.tensor([3.0, -2.0]), torch.tensor([3.0, 8.0])
WEIGHT, BIAS = torch.tensor([4.0, 6.0]), torch.tensor([1.0, -1.0])


def norm_of(kind):
    norm = kind(2)
    norm.eps = 1.0
    norm.running_mean.copy_(MEAN)
    norm.running_var.copy_(VARIANCE)
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(WEIGHT)
            norm.bias.copy_(BIAS)
    return norm.eval()


def test_the_affine_map_of_a_frozen_norm():
    scale, shift = affine_of(norm_of(BatchNorm))
    assert scale.tolist() == [2.0, 2.0]  # 4 / 2 and 6 / 3
    assert shift.tolist() == [-5.0, 3.0]  # 1 - 3 * 2 and -1 + 2 * 2
    assert scale.dtype == shift.dtype == torch.float64
    assert not scale.requires_grad
    scale, shift = affine_of(norm_of(InstanceNorm))
    assert scale.tolist() == pytest.approx([1 / 2, 1 / 3])
    assert shift.tolist() == pytest.approx([-3 / 2, 2 / 3])


@pytest.mark.parametrize("bias", [True, False])
def test_folding_scales_weights_and_moves_the_bias(bias):
    conv = nn.Conv2d(3, 2, 1, bias=bias)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 2, 3], [-1, 0, 0.1]]).reshape(2, 3, 1, 1))
        if bias:
            conv.bias.copy_(torch.tensor([0.5, 0.25]))
    folded = fold_into(conv, norm_of(BatchNorm))
    assert folded.weight.flatten().tolist() == pytest.approx([2, 4, 6, -2, 0, 0.2])
    assert folded.bias.tolist() == ([-4.0, 3.5] if bias else [-5.0, 3.0])
    assert (conv.bias is None) is not bias  # the original is as it was
    assert conv.weight.flatten().tolist() == pytest.approx([1, 2, 3, -1, 0, 0.1])


def test_folding_rounds_once_from_double_precision():
    conv, norm = nn.Conv2d(1, 2, 1), norm_of(InstanceNorm)
    with torch.no_grad():
        conv.weight.fill_(0.1)
    exact = conv.weight.double().flatten() / torch.tensor([2.0, 3.0]).double()
    assert torch.equal(fold_into(conv, norm).weight.flatten(), exact.float())


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, bias=False), norm_of(BatchNorm), nn.ReLU(),
        nn.Sequential(SeparableConv(2, 2, bias=True), norm_of(InstanceNorm)),
        nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), norm_of(BatchNorm),
    )  # fmt: skip


def test_every_norm_of_a_network_folds_where_it_stands():
    before, image = network().train(), torch.rand(2, 3, 7, 6)
    folded = fold_norms(before)
    kinds = [type(m).__name__ for m in folded.modules() if not list(m.children())]
    identities = [i for i, kind in enumerate(kinds) if kind == "Identity"]
    assert identities == [1, 5, 9]
    assert before.training  # the original is as it was
    assert not folded.training
    assert len(norms(before)) == 3
    with torch.no_grad():
        assert (folded(image) - before.eval()(image)).abs().max() <= 1e-5


def test_one_live_norm_is_enough_to_refuse():
    module = network()
    module[7].live = True
    with pytest.raises(ValueError, match="cannot be folded"):
        fold_norms(module)


@pytest.mark.parametrize("replace", [fold_norms, decompose_live_norms])
def test_a_norm_without_a_convolution_before_it_is_named(replace):
    module = nn.Sequential(norm_of(BatchNorm), nn.Conv2d(2, 2, 1), norm_of(BatchNorm))
    with pytest.raises(ValueError, match=r"norms that follow no convolution: 0$"):
        replace(module)


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
def test_a_spelled_out_norm_by_hand(kind):
    norm = norm_of(kind)
    image = torch.tensor([[0.0, 4.0, 2.0, 2.0, 6.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0, 7.0]])
    image = image.reshape(1, 2, 2, 3)  # means 3 and 2; variances 22 / 6 and 5
    result = ExplicitLiveNorm(norm)(image)
    scale, shift = (WEIGHT, BIAS) if norm.affine else (torch.ones(2), torch.zeros(2))
    for channel, (mean, variance) in enumerate(((3.0, 22 / 6), (2.0, 5.0))):
        hand = (image[0, channel] - mean) / math.sqrt(variance + 1.0)
        hand = hand * scale[channel] + shift[channel]
        assert torch.allclose(result[0, channel], hand, atol=1e-5)
    norm.live = True
    assert torch.allclose(norm(image), result, atol=1e-5)  # eps, weight and bias go along
    spelled = decompose_live_norms(nn.Sequential(nn.Identity(), norm))
    assert torch.allclose(spelled(image), result, atol=1e-6)


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
@pytest.mark.parametrize("shape", [(2, 2, 1, 2), (1, 2, 2, 1), (1, 2, 2, 2)])
def test_maps_of_two_pixels_have_statistics(kind, shape):
    norm = norm_of(kind)
    norm.live = True
    assert norm(torch.rand(shape)).shape == shape
    with pytest.raises(ValueError, match="a 1x1 map has none"):
        norm(torch.rand(2, 2, 1, 1))


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
def test_training_takes_the_batch_whatever_inference_takes(kind):
    image = torch.rand(2, 2, 3, 3) * 5
    for live in (False, True):
        norm, frozen = norm_of(kind), norm_of(kind)
        norm.live = live
        norm.train()(image)
        assert not torch.equal(norm.running_mean, frozen.running_mean)
        before = norm.running_mean.clone()
        stored = norm.eval()(image)
        assert torch.equal(norm.running_mean, before)
        scale, shift = affine_of(norm)
        affine = image.double() * scale.reshape(1, 2, 1, 1) + shift.reshape(1, 2, 1, 1)
        assert torch.allclose(stored.double(), affine, atol=1e-5) is not live


def test_reestimation_averages_pictures_and_counts_batches():
    module = nn.Sequential(nn.Identity(), norm_of(BatchNorm))
    module[1].train()
    first = torch.tensor([[0.0, 2.0], [1.0, 5.0]]).reshape(1, 2, 1, 2)
    second = torch.tensor([[4.0, 4.0], [0.0, 4.0]]).reshape(1, 2, 1, 2)
    # Unbiased variances of two values a, b: (a - b)^2 / 2.
    assert reestimate(module, [torch.cat([first, second]), first]) == 2
    norm = module[1]
    assert norm.running_mean.tolist() == pytest.approx([(2.5 + 1) / 2, (2.5 + 3) / 2])
    assert norm.running_var.tolist() == pytest.approx([(1 + 2) / 2, (8 + 8) / 2])
    assert int(norm.num_batches_tracked) == 2
    assert (norm.live, norm.training) == (False, True)
    assert not norm._forward_pre_hooks


def test_reestimation_runs_on_each_pictures_own_statistics():
    # What the second norm sees is the first one's output, normalised picture by picture.
    conv = nn.Conv2d(2, 2, 1, bias=False)  # the identity, which has weights that could be trained
    conv.weight.data = torch.eye(2).reshape(2, 2, 1, 1)
    module = nn.Sequential(conv, norm_of(InstanceNorm), norm_of(InstanceNorm))
    image = torch.rand(1, 2, 4, 4) * 9
    reestimate(module, [image])
    variance = image.var(dim=(2, 3), unbiased=False)[0]
    assert module[2].running_mean.tolist() == pytest.approx([0, 0], abs=1e-5)
    assert not module[1].running_mean.requires_grad
    assert torch.allclose(module[2].running_var, variance / (variance + 1) * 16 / 15, atol=1e-4)


def test_variances_too_large_for_a_number_are_refused():
    module = nn.Sequential(nn.Identity(), norm_of(BatchNorm))
    image = torch.tensor([1e20, -1e20, 1.0, 2.0]).reshape(1, 2, 1, 2)  # their means are finite
    with pytest.raises(ValueError, match="statistics of 1 are not finite"):
        reestimate(module, [image])
    assert module[1].running_mean.tolist() == MEAN.tolist()


def test_reestimation_without_pictures_is_refused():
    module = nn.Sequential(nn.Identity(), norm_of(BatchNorm))
    with pytest.raises(ValueError, match="needs at least one picture"):
        reestimate(module, [])
    assert module[1].running_mean.tolist() == MEAN.tolist()


def test_modes_are_told_apart_by_their_letters():
    module = network()
    words = "live frozen"
    live, frozen = words.split()  # equal texts, other objects
    set_norm_mode(module, live)
    assert [norm.live for norm in norms(module).values()] == [True] * 3
    set_norm_mode(module, frozen)
    assert [norm.live for norm in norms(module).values()] == [False] * 3
