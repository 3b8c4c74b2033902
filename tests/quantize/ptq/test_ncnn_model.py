from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from edgedeblur.export.graph import ExportSpec, Graph
from edgedeblur.export.to_ncnn.int8 import infer_function
from edgedeblur.export.to_ncnn.target import convert_fp32
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.ptq.ncnn_model import (
    check_recipe,
    collect_stats,
    int8_layers,
    quantise,
    read_model,
)
from edgedeblur.quantize.recipe import Recipe
from torch import nn

SIGNED = "static_w8a8_perchannel_symmetric"
PLAIN = Recipe(SIGNED, keep=())


class _Small(nn.Module):
    """A dense, a depthwise and a 1x1 convolution, and the picture added to what they give."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.last = nn.Conv2d(16, 3, 1, bias=False)
        for parameter in self.parameters():
            parameter.requires_grad = False
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)

    def forward(self, image):
        hidden = nn.functional.relu6(self.first(image))
        return image + self.last(nn.functional.relu6(self.grouped(hidden)))


def _images(count: int = 4) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def network():
    return _Small().eval()


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("ncnn") / "net.ncnn"
    graph = Graph(network, network, load_checkpoint("zoo:mobilenet_dsc"), "frozen")
    convert_fp32(graph, ExportSpec("ncnn-fp32", (32, 32)), path)
    return read_model(path)


def _quantised(model, network, recipe=PLAIN, images=None):
    layers = int8_layers(model, network, recipe)
    return quantise(model, layers, collect_stats(model, layers, images or _images(), 1), recipe)


def _rounded(value, largest):
    """Signed 8 bits: `value` on the grid of 127 steps up to `largest`."""
    scale = largest / 127
    return torch.clamp(torch.round(value / scale), -127, 127) * scale


def _simulated(network, image, largest):
    """What 8 bits should give, computed in PyTorch; `largest` before each convolution."""
    value = image
    for conv, reach in zip((network.first, network.grouped, network.last), largest, strict=True):
        weight = _rounded(conv.weight, conv.weight.abs().amax((1, 2, 3), keepdim=True))
        rounded = _rounded(value, reach)
        value = nn.functional.conv2d(
            rounded, weight, conv.bias, padding=conv.padding, groups=conv.groups
        )
        value = value if conv is network.last else nn.functional.relu6(value)
    return image + value


def test_ncnn_computes_what_eight_bits_should_give(model, network):
    images = _images()
    stack = torch.from_numpy(np.concatenate(images))
    hidden = nn.functional.relu6(network.first(stack))
    largest = [
        float(v.abs().max()) for v in (stack, hidden, nn.functional.relu6(network.grouped(hidden)))
    ]
    infer = infer_function(_quantised(model, network), 1)
    image = images[0]
    wanted = _simulated(network, torch.from_numpy(image), largest).numpy()
    plain = network(torch.from_numpy(image)).numpy()
    difference = np.abs(infer(image) - wanted)
    # Values halfway between two steps may go either way; a step of the last input is 6 / 127.
    assert difference.max() < 0.1
    assert np.square(difference).mean() < 0.02 * np.square(plain - wanted).mean()


def test_scales_and_terms_are_as_ncnn_reads_them(model, network):
    done = _quantised(model, network)
    first, depthwise, last = (
        layer for layer in done.layers if layer.kind in ("Convolution", "ConvolutionDepthWise")
    )
    assert [layer.settings[8] for layer in (first, depthwise, last)] == ["102", "101", "2"]
    largest = max(np.abs(image).max() for image in _images())
    weight, read, written = done.weights[first.name].scales
    assert weight == pytest.approx(127 / network.first.weight.abs().amax((1, 2, 3)).numpy())
    assert read == pytest.approx(127 / largest)
    assert written == pytest.approx(127 / 6, rel=1e-3)  # ReLU6 cuts off at 6
    assert np.array_equal(done.weights[depthwise.name].scales[1], written)
    stored = done.weights[first.name].weight
    assert stored.dtype == np.int8
    assert stored.reshape(16, -1).astype(int).__abs__().max(axis=1).tolist() == [127] * 16


def test_kept_layers_stay_in_float_and_are_handed_float(model, network):
    done = _quantised(model, network, dataclasses.replace(PLAIN, keep=("depthwise",)))
    terms = {layer.name: layer.number(8) for layer in done.layers}
    kinds = {layer.name: layer.kind for layer in done.layers if layer.name in done.weights}
    assert [terms[n] for n, kind in kinds.items() if kind == "ConvolutionDepthWise"] == [0]
    assert [terms[n] for n, kind in kinds.items() if kind == "Convolution"] == [2, 2]
    with pytest.raises(ValueError, match=r"keeps 'finale' in float, but there is no such layer"):
        int8_layers(model, network, dataclasses.replace(PLAIN, keep=("finale",)))


def test_narrow_layers_are_those_of_at_most_32_input_channels_of_a_group(tmp_path):
    network = nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1),
        nn.Conv2d(40, 40, 3, padding=1, groups=40),
        nn.Conv2d(40, 32, 1),
        nn.Conv2d(32, 3, 1),
    )
    graph = Graph(network.eval(), network, load_checkpoint("zoo:mobilenet_dsc"), "frozen")
    convert_fp32(graph, ExportSpec("ncnn-fp32", (32, 32)), tmp_path / "net.ncnn")
    model = read_model(tmp_path / "net.ncnn")
    recipe = dataclasses.replace(PLAIN, keep=("narrow",))
    (layer,) = int8_layers(model, network, recipe)
    assert model.weights[layer.name].weight.size == 40 * 32  # the one that reads 40 channels
    assert len(int8_layers(model, network, PLAIN)) == 4


def test_ranges_are_those_of_the_recipes_observer(model, network):
    narrow = dataclasses.replace(PLAIN, observer="percentile", percentile=90.0)
    done = _quantised(model, network, narrow)
    first = next(layer for layer in done.layers if layer.kind == "Convolution")
    # Of values spread evenly over [-1, 1], 10 % at either end are cut off.
    assert done.weights[first.name].scales[1] == pytest.approx(127 / 0.8, rel=0.05)


def test_corrected_biases_take_the_mean_error_away(model, network):
    images = _images(8)
    done = _quantised(model, network, dataclasses.replace(PLAIN, correct_bias=True), images)
    stack = torch.from_numpy(np.concatenate(images))
    hidden = nn.functional.relu6(network.first(stack))
    inputs = (stack, hidden, nn.functional.relu6(network.grouped(hidden)))
    layers = [layer for layer in done.layers if layer.name in done.weights]
    for conv, value, layer in zip(
        (network.first, network.grouped, network.last), inputs, layers, strict=True
    ):
        held = done.weights[layer.name]
        weight = _rounded(conv.weight, conv.weight.abs().amax((1, 2, 3), keepdim=True))
        means = [
            nn.functional.conv2d(value, w, b, padding=conv.padding, groups=conv.groups).mean(
                (0, 2, 3)
            )
            for w, b in (
                (conv.weight, conv.bias),
                (weight, conv.bias),
                (weight, torch.from_numpy(held.bias)),
            )
        ]
        before, after = ((m - means[0]).abs().mean() for m in means[1:])
        assert after < 0.2 * before
        assert layer.settings[5] == "1"  # the last one had no biases


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe("static_w8a16_perchannel"),
        Recipe("weight_only_w8_perchannel"),
        Recipe("static_w8a8_pertensor"),
        Recipe(SIGNED, equalise=True),
    ],
)
def test_other_recipes_are_refused(recipe):
    with pytest.raises(ValueError, match=r"ncnn-int8 (has signed 8-bit|does not equalise)"):
        check_recipe(recipe)


def test_another_networks_weights_are_refused(model):
    other = _Small().eval()
    with torch.no_grad():
        other.grouped.weight.mul_(2)
    with pytest.raises(ValueError, match=r"its weights are not the network's"):
        int8_layers(model, other, PLAIN)


def test_no_pictures(model, network):
    with pytest.raises(ValueError, match="no calibration pictures"):
        collect_stats(model, int8_layers(model, network, PLAIN), [], 1)


def test_a_picture_that_is_not_finite(model, network):
    images = _images()
    images[1][0, 0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="an activation holds NaN or infinity"):
        _quantised(model, network, images=images)
