from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.network.convolution import StridedDepthwise
from edgedeblur.models.network.generator import parameter_count
from edgedeblur.models.network.registry import (
    backbone_names,
    build_generator,
    get_backbone,
    get_network,
)

from tests.released import FIXTURES, expected


@pytest.mark.parametrize(
    ("norm", "output"), [("frozen", "output_running_stats"), ("live", "output_batch_stats")]
)
def test_released_network_is_met_in_both_norm_modes(released_h5, norm, output):
    recorded = expected()
    generator = generator_from(load_checkpoint(str(released_h5)), norm=norm)
    with torch.no_grad():
        result = generator(torch.from_numpy(recorded["input"])).numpy()
    assert np.abs(result - recorded[output]).max() <= 1e-5
    other = {"output_running_stats", "output_batch_stats"} - {output}
    assert np.abs(result - recorded[other.pop()]).max() > 1e-2


def test_training_mode_of_the_released_network_is_its_live_mode(released_h5):
    recorded = expected()
    generator = generator_from(load_checkpoint(str(released_h5))).train()
    with torch.no_grad():
        result = generator(torch.from_numpy(recorded["input"])).numpy()
    assert np.abs(result - recorded["output_batch_stats"]).max() <= 1e-5


def test_a_recorded_separable_network_is_met():
    with np.load(FIXTURES / "mobilenet_dsc" / "expected.npz") as arrays:
        recorded = dict(arrays)
    weights = FIXTURES / "mobilenet_dsc" / "weights.safetensors"
    generator = generator_from(load_checkpoint(str(weights)))
    with torch.no_grad():
        result = generator(torch.from_numpy(recorded["input"])).numpy()
    assert np.abs(result - recorded["output"]).max() <= 1e-5


def test_parameter_counts():
    # 3.31 M stored and 2.11 M live: the dead layers are features[16:].
    assert (
        parameter_count(build_generator("mobilenet", decoder_norm="instance", dead_features=True))
        == 3_312_707
    )
    live = build_generator("mobilenet", decoder_norm="instance")
    assert 2.05e6 < parameter_count(live) < 2.15e6
    assert parameter_count(build_generator("mobilenet_dsc")) == 1_186_467


@pytest.mark.parametrize("backbone", backbone_names())
def test_output_is_input_plus_bounded_residual(backbone):
    torch.manual_seed(0)
    generator = build_generator(backbone).eval()
    network = get_network(backbone)
    side = network.smallest_side
    image = torch.rand(2, 3, side, max(side, 64)) * 2 - 1
    with torch.no_grad():
        output = generator(image)
        for parameter in generator.get_submodule(network.last).parameters():
            parameter.zero_()
        untouched = generator(image)
    assert output.shape == image.shape
    assert output.abs().max() <= 1.0
    assert not torch.equal(output, image)
    assert torch.equal(untouched, image)


def test_batch_gives_what_single_pictures_give_in_live_mode(released_h5):
    generator = generator_from(load_checkpoint(str(released_h5)), norm="live")
    torch.manual_seed(1)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        together = generator(images)
        apart = torch.cat([generator(images[:1]), generator(images[1:])])
    # float32 sums in another order; the last stage has 2x2 pixels to normalise by
    assert (together - apart).abs().max() <= 1e-4


def test_only_wide_3x3_convolutions_become_separable():
    generator = build_generator("mobilenet_dsc")
    dense = [
        name
        for name, m in generator.named_modules()
        if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3) and m.groups == 1
    ]
    assert dense == ["fpn.features.0.0"]


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean mobilenet_dsc\?"):
        get_backbone("mobilenet-dsc")
    with pytest.raises(ValueError, match="decoder norm must be batch or instance, not 'group'"):
        build_generator("mobilenet", decoder_norm="group")


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_a_strided_depthwise_computes_the_same_in_training(size):
    torch.manual_seed(0)
    conv = StridedDepthwise(6).double()
    image = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    grown = torch.randn(2, 6, -(-size[0] // 2), -(-size[1] // 2), dtype=torch.float64)
    answers = []
    for training in (True, False):
        output = conv.train(training)(image)
        answers.append((output, *torch.autograd.grad(output, (image, conv.weight), grown)))
    for trained, plain in zip(*answers, strict=True):
        torch.testing.assert_close(trained, plain, rtol=1e-12, atol=1e-12)
