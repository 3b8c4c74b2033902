from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.quantize.ptq.pt2e import (
    check_recipe,
    kept_weights,
    quantised_module,
    with_corrected_biases,
)
from edgedeblur.quantize.recipe import Recipe
from torch import nn

pytestmark = pytest.mark.heavy

PLAIN = Recipe(keep=())


class _Two(nn.Module):
    """Two convolutions, the first of them cut off by ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 1, bias=False)
        for parameter in self.parameters():
            parameter.requires_grad = False
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 3)

    def forward(self, image):
        return self.last(nn.functional.relu6(self.first(image)))


def _images(count: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32) for _ in range(count)]


def _pairs(module) -> list[tuple[str, float, int]]:
    """(what is quantised, scale, zero point) of every pair for activations."""
    return [
        (str(node.args[0].target), float(node.args[1]), int(node.args[2]))
        for node in module.graph.nodes
        if "quantize_per_tensor" in str(node.target) and "dequantize" not in str(node.target)
    ]


def test_one_pair_stands_behind_the_activation_and_covers_its_range():
    pairs = _pairs(quantised_module(_Two().eval(), PLAIN, _images()))
    assert len(pairs) == 3  # the picture, behind ReLU6, the output
    _, scale, zero = pairs[1]
    assert "relu6" in pairs[1][0] or "hardtanh" in pairs[1][0]
    assert scale == pytest.approx(6 / 255, rel=1e-3)
    assert zero == -128


def test_ranges_are_those_of_the_recipes_observer():
    images = _images()
    _, scale, zero = _pairs(quantised_module(_Two().eval(), PLAIN, images))[0]
    low, high = min(i.min() for i in images), max(i.max() for i in images)
    assert scale == pytest.approx((high - low) / 255, rel=1e-5)
    assert zero == round(-128 - low / scale)
    narrow = Recipe(keep=(), observer="percentile", percentile=90.0)
    _, scale, _ = _pairs(quantised_module(_Two().eval(), narrow, images))[0]
    assert scale == pytest.approx(1.6 / 255, rel=0.1)  # 80 % of values spread evenly over [-1, 1]


class _Adds(_Two):
    """The picture is added at the end, as the generator does."""

    def forward(self, image):
        return image + torch.tanh(super().forward(image))


def test_the_sum_at_the_end_is_float_where_the_last_convolution_is():
    network, images = _Adds().eval(), _images()
    assert len(_pairs(quantised_module(network, PLAIN, images))) >= 4
    kept = quantised_module(network, Recipe(keep=("last",)), images)
    assert len(_pairs(kept)) == 2  # the first convolution's input and ReLU6
    (added,) = (node for node in kept.graph.nodes if "aten.add" in str(node.target))
    assert added.args[0].op == "placeholder"  # the picture itself, not rounded


def test_symmetric_ranges_have_no_zero_point():
    recipe = Recipe("static_w8a8_perchannel_symmetric", keep=())
    assert _pairs(quantised_module(_Two().eval(), recipe, _images()))[0][2] == 0


def test_kept_layers_compute_in_float():
    network, image = _Two().eval(), torch.from_numpy(_images(1)[0])
    kept = quantised_module(network, Recipe(keep=("first", "last")), _images())
    assert _pairs(kept) == []
    assert torch.equal(kept(image), network(image))
    one = quantised_module(network, Recipe(keep=("last",)), _images())
    assert [scale for _, scale, _ in _pairs(one)][1:] == [pytest.approx(6 / 255, rel=1e-3)]


def test_rounding_errors_stay_near_what_eight_bits_allow():
    network, image = _Two().eval(), torch.from_numpy(_images(1)[0])
    wanted = network(image)
    error = (quantised_module(network, PLAIN, _images())(image) - wanted).square().mean()
    assert 1e-5 < float(error / wanted.square().mean()) < 1e-3


def test_corrected_biases_take_the_mean_error_away():
    network, images = _Two().eval(), _images(8)
    stacked = torch.from_numpy(np.concatenate(images))
    corrected = with_corrected_biases(network, PLAIN, images)
    for name, inputs in (
        ("first", stacked),
        ("last", nn.functional.relu6(network.first(stacked))),
    ):
        conv, held = getattr(corrected, name), getattr(network, name)
        scale = held.weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
        rounded = torch.round(held.weight / scale) * scale
        means = [
            torch.nn.functional.conv2d(inputs, rounded, bias, padding=conv.padding).mean((0, 2, 3))
            for bias in (held.bias, conv.bias)
        ]
        right = held(inputs).mean((0, 2, 3))
        before, after = ((mean - right).abs().mean() for mean in means)
        assert after < 0.2 * before
    assert network.last.bias is None
    assert torch.equal(corrected.first.weight, network.first.weight)


def test_layers_of_the_recipe_are_found_by_name_and_prefix():
    weights = ["fpn.features.0.0.weight", "smooth2.0.pointwise.weight", "final.pointwise.weight"]
    recipe = Recipe(keep=("final", "features.0.0"))
    assert kept_weights(weights, recipe) == {weights[0], weights[2]}
    merged = ["smooth2.branches.0.conv.weight"]  # a rewrite made one convolution of two
    assert kept_weights(merged, Recipe(keep=("smooth2.0.pointwise",))) == set(merged)
    with pytest.raises(ValueError, match=r"keeps 'finale' in float, but there is no such layer"):
        kept_weights(weights, Recipe(keep=("finale",)))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("static_w8a16_perchannel"),
        Recipe("weight_only_w8_perchannel"),
        Recipe("static_w8a8_pertensor"),
        Recipe(equalise=True),
    ],
)
def test_other_recipes_are_refused(recipe):
    with pytest.raises(ValueError, match=r"executorch-int8 (has 8-bit|does not equalise)"):
        check_recipe(recipe)


def test_no_pictures():
    with pytest.raises(ValueError, match="no calibration pictures"):
        quantised_module(_Two().eval(), PLAIN, [])


def test_a_picture_that_is_not_finite():
    images = _images()
    images[1][0, 0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="an activation holds NaN or infinity"):
        quantised_module(_Two().eval(), PLAIN, images)
