from __future__ import annotations

import pytest
import torch
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.models.network.norm import norms
from edgedeblur.models.network.receptive_field import input_interval, receptive_radius_px
from edgedeblur.models.network.registry import build_generator
from torch import nn


def test_macs_of_small_layers_by_hand():
    dense = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert conv_macs(dense, (4, 6)) == 2 * 3 * 8 * 3 * 9
    grouped = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, padding=1, groups=2))
    assert conv_macs(grouped, (4, 4)) == 16 * (3 * 4 + 8 * 2 * 9)
    # Every input element meets the whole 4x4 kernel of each output channel.
    transposed = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)
    assert conv_macs(transposed, (4, 4)) == 16 * 3 * 5 * 16


@pytest.mark.parametrize(
    ("backbone", "size", "billions"),
    [
        ("mobilenet", (736, 1280), 38.94),
        ("mobilenet", (736, 1312), 39.91),
        ("mobilenet_dsc", (736, 1280), 9.59),
    ],
)
def test_macs_of_the_networks_match_published_figures(backbone, size, billions):
    assert round(conv_macs(build_generator(backbone).eval(), size) / 1e9, 2) == billions


def test_receptive_field_equals_what_gradients_reach():
    """Independent of the interval arithmetic: which input pixels move the output at all."""
    torch.manual_seed(0)
    generator = build_generator("mobilenet_dsc").eval().double()
    for parameter in generator.parameters():
        parameter.data = parameter.data.abs() * 0.05 + 0.01
    for norm in norms(generator).values():
        norm.bias.data.fill_(0.5)  # keeps ReLU and ReLU6 in their open range
        norm.weight.data.fill_(1e-3)
    farthest = 0
    for row in (320, 326, 327, 343, 351):  # the radius is reached at 6 modulo 32
        image = torch.zeros(1, 3, 672, 32, dtype=torch.double, requires_grad=True)
        generator(image)[0, 0, row, 16].backward()
        assert image.grad is not None
        rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
        first, last = int(rows.min()), int(rows.max())
        assert (first, last) == input_interval("mobilenet_dsc", row)
        farthest = max(farthest, row - first, last - row)
    assert farthest == receptive_radius_px("mobilenet_dsc") == receptive_radius_px("mobilenet")
