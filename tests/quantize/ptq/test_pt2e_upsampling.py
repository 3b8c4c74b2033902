from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.quantize.ptq.pt2e import quantised_module
from edgedeblur.quantize.ptq.pt2e_upsampling import (
    identity_kernel,
    is_copy,
    with_transposed_upsampling,
)
from edgedeblur.quantize.recipe import Recipe
from torch import nn

pytestmark = pytest.mark.heavy


class _Enlarges(nn.Module):
    """A convolution, its result enlarged by `factor`, another convolution."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.factor = factor
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        for parameter in self.parameters():
            parameter.requires_grad = False
            parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, image):
        hidden = nn.functional.interpolate(self.first(image), scale_factor=self.factor)
        return self.last(hidden)


def _image() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, 12, 20))).float()


def _traced(network: nn.Module):
    return torch.export.export(network.eval(), (_image(),)).module()


def _kinds(module) -> list[str]:
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


def test_the_kernel_copies_every_pixel_to_four_places():
    image = torch.randn(2, 5, 4, 6)
    found = nn.functional.conv_transpose2d(image, identity_kernel(5), stride=2)
    assert torch.equal(found, nn.functional.interpolate(image, scale_factor=2))


@pytest.mark.parametrize(("factor", "steps"), [(2, 1), (4, 2), (8, 3)])
def test_powers_of_two_become_steps_and_nothing_changes(factor, steps):
    network = _Enlarges(factor)
    changed = with_transposed_upsampling(_traced(network))
    assert _kinds(changed).count("aten.conv_transpose2d.input") == steps
    assert not any("upsample" in kind for kind in _kinds(changed))
    assert torch.equal(changed(_image()), network(_image()))
    assert [name for name, _ in changed.named_buffers()] == ["enlarge_by_2_8"]


@pytest.mark.parametrize("factor", [3, 1.5])
def test_other_factors_stay(factor):
    network = _Enlarges(factor)
    changed = with_transposed_upsampling(_traced(network))
    assert any("upsample_nearest2d" in kind for kind in _kinds(changed))
    assert torch.equal(changed(_image()), network(_image()))


def test_in_8_bits_the_copies_round_nothing():
    network = _Enlarges(4)
    images = [_image().numpy()] * 2
    module = quantised_module(network, Recipe(keep=()), images)
    copies = [node for node in module.graph.nodes if is_copy_of_pair(node)]
    assert len(copies) == 2
    with torch.no_grad():
        hidden = _value(module, copies[0].args[0], _image())
        last = _value(module, copies[-1], _image())
    assert torch.equal(last, nn.functional.interpolate(hidden, scale_factor=4))
    scales = {node.args[1] for node in module.graph.nodes if _quantises_a_copy(node)}
    assert len(scales) == 1  # the same before, between and behind


def is_copy_of_pair(node) -> bool:
    """In a converted module the weight comes through a dequantise node."""
    return is_copy(node) or (node.op == "call_function" and "conv_transpose2d" in str(node.target))


def _quantises_a_copy(node) -> bool:
    return "quantized_decomposed.quantize_per_tensor" in str(node.target) and (
        is_copy_of_pair(node.args[0]) or any(
            is_copy_of_pair(user) for pair in node.users for user in pair.users
        )
    )  # fmt: skip


def _value(module, wanted, image):
    """What one node computes."""

    class Watch(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if n is wanted:
                self.found = result
            return result

    watch = Watch(module)
    watch.run(image)
    return watch.found


def test_copies_of_what_a_float_layer_gives_stay_float():
    images = [_image().numpy()] * 2
    module = quantised_module(_Enlarges(2), Recipe(keep=("first",)), images)
    (copy,) = (node for node in module.graph.nodes if is_copy_of_pair(node))
    assert "dequantize" not in str(copy.args[0].target)
    assert "dequantize" not in str(copy.args[1].target)
