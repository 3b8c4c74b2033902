from __future__ import annotations

import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.network.norm import (
    BatchNorm,
    InstanceNorm,
    decompose_live_norms,
    fold_norms,
    norms,
    reestimate,
    set_norm_mode,
)
from edgedeblur.models.network.registry import build_generator
from torch import nn


def _randomised(norm):
    torch.manual_seed(3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    if norm.affine:
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_()
    return norm.eval()


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
def test_frozen_norm_against_hand_computation(kind):
    norm = _randomised(kind(2))
    image = torch.randn(1, 2, 3, 3)
    result = norm(image)
    for c in range(2):
        scale = 1.0 / (float(norm.running_var[c]) + 1e-5) ** 0.5
        weight = norm.weight[c].item() if norm.affine else 1.0
        bias = norm.bias[c].item() if norm.affine else 0.0
        hand = (image[0, c] - float(norm.running_mean[c])) * scale * weight + bias
        assert torch.allclose(result[0, c], hand, atol=1e-6)


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
def test_live_norm_against_hand_computation(kind):
    norm = _randomised(kind(2))
    norm.live = True
    image = torch.randn(2, 2, 4, 5) * 3 + 1
    before = norm.running_mean.clone()
    result = norm(image)
    for n in range(2):
        for c in range(2):
            plane = image[n, c]
            hand = (plane - plane.mean()) / torch.sqrt(plane.var(unbiased=False) + 1e-5)
            if norm.affine:
                hand = hand * norm.weight[c] + norm.bias[c]
            assert torch.allclose(result[n, c], hand, atol=1e-5)
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("source", ["zoo:mobilenet_dsc", "released"])
def test_folding_changes_nothing_and_leaves_no_norm(source, released_h5):
    path = str(released_h5) if source == "released" else source
    generator = generator_from(load_checkpoint(path), norm="frozen")
    folded = fold_norms(generator)
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 32) * 2 - 1
    with torch.no_grad():
        assert (generator(image) - folded(image)).abs().max() <= 1e-5
    assert not norms(folded)
    assert not [m for m in folded.modules() if "Norm" in type(m).__name__]
    assert norms(generator)  # the original is untouched


def test_live_norms_are_never_folded(released_h5):
    generator = generator_from(load_checkpoint(str(released_h5)), norm="live")
    with pytest.raises(ValueError, match="live norms depend on the picture"):
        fold_norms(generator)


def test_spelled_out_live_norms_equal_the_live_network(released_h5):
    generator = generator_from(load_checkpoint(str(released_h5)), norm="live")
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        difference = (generator(image) - decompose_live_norms(generator)(image)).abs().max()
    assert difference <= 1e-4


def test_reestimate_against_statistics_taken_by_hand():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNorm(4)).eval()
    pictures = [torch.rand(1, 3, 8, 8), torch.rand(1, 3, 6, 10)]
    assert reestimate(network, pictures) == 2
    planes = [network[0](p)[0].flatten(1) for p in pictures]
    mean = (planes[0].mean(1) + planes[1].mean(1)) / 2
    variance = (planes[0].var(1) + planes[1].var(1)) / 2  # unbiased, as PyTorch stores it
    assert torch.allclose(network[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(network[1].running_var, variance, atol=1e-6)
    assert not network[1].live
    assert not network[1].training


def test_reestimating_on_one_picture_makes_frozen_equal_live(released_h5):
    # With a single picture the stored statistics are that picture's own, so both modes agree
    # except for n/(n-1) in the variance, which is small at 1/32 of 256x256.
    generator = generator_from(load_checkpoint(str(released_h5)))
    torch.manual_seed(0)
    image = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        live = generator(image)
        set_norm_mode(generator, "frozen")
        stale = generator(image)
        reestimate(generator, [image])
        frozen = generator(image)
    assert (frozen - live).abs().mean() < 0.05 * (stale - live).abs().mean()


def test_reestimate_without_pictures_fails():
    with pytest.raises(ValueError, match="needs at least one picture"):
        reestimate(build_generator("mobilenet_dsc"), [])


def test_reestimate_refuses_nan():
    with pytest.raises(ValueError, match="not finite"):
        reestimate(build_generator("mobilenet_dsc").eval(), [torch.full((1, 3, 64, 64), torch.nan)])


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        ([torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), torch.nan)], ValueError, "finite"),
        ([torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 32)], ValueError, "a 1x1 map has none"),
        ([torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 64, 64)], RuntimeError, "channels"),
        ([], ValueError, "at least one picture"),
    ],
)
def test_failed_reestimate_leaves_the_network_as_it_was(pictures, error, message):
    generator = build_generator("mobilenet_dsc").train()
    set_norm_mode(generator, "frozen")
    layers = norms(generator)
    layers["fpn.td1.1"].live = True
    layers["fpn.td2.1"].eval()
    modes = {name: (norm.live, norm.training) for name, norm in layers.items()}
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with pytest.raises(error, match=message):
        reestimate(generator, pictures)
    assert {name: (norm.live, norm.training) for name, norm in layers.items()} == modes
    assert all(torch.equal(t, state[name]) for name, t in generator.state_dict().items())
    assert not any(norm._forward_pre_hooks for norm in layers.values())


@pytest.mark.parametrize("kind", [BatchNorm, InstanceNorm])
def test_live_norm_of_one_pixel_says_why_not(kind):
    norm = kind(2).eval()
    norm.live = True
    with pytest.raises(ValueError, match=r"larger than 32x32 \(32x64 is enough\), or frozen"):
        norm(torch.zeros(1, 2, 1, 1))
    assert norm(torch.tensor([[[[0.0, 2.0]], [[1.0, 1.0]]]])).flatten().tolist() == pytest.approx(
        [-1, 1, 0, 0], abs=1e-4
    )


def test_the_smallest_picture_for_live_norms():
    generator = build_generator("mobilenet_dsc").eval()
    set_norm_mode(generator, "live")
    with torch.no_grad():
        assert torch.isfinite(generator(torch.zeros(1, 3, 32, 64))).all()
        with pytest.raises(ValueError, match="a 1x1 map has none"):
            generator(torch.zeros(1, 3, 32, 32))


def test_unknown_mode():
    with pytest.raises(ValueError, match="frozen or live, not 'batch'"):
        set_norm_mode(build_generator("mobilenet_dsc"), "batch")
