from __future__ import annotations

import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.checkpoints.densify import can_densify, densify
from edgedeblur.models.network.norm import norms
from edgedeblur.models.network.registry import build_generator


@pytest.mark.parametrize("weights", ["random", "shipped"])
def test_the_dense_network_computes_the_same(weights):
    torch.manual_seed(0)
    if weights == "shipped":
        separable = generator_from(load_checkpoint("zoo:mobilenet_dsc"))
    else:
        separable = build_generator("mobilenet_dsc").eval()
        for norm in norms(separable).values():  # nothing that a forgotten tensor would not change
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
    dense = densify(separable, "mobilenet")
    assert dense.backbone == "mobilenet"
    image = torch.rand(2, 3, 96, 64) * 2 - 1
    with torch.no_grad():
        expected, found = separable(image), dense(image)
    assert float((expected - image).abs().max()) > 1e-3  # the residual is there
    assert float((expected - found).abs().max()) <= 1e-5


def test_only_from_separable_to_dense():
    assert can_densify("mobilenet_dsc", "mobilenet")
    assert not can_densify("mobilenet", "mobilenet_dsc")
    assert not can_densify("mobilenet", "mobilenet")
    with pytest.raises(ValueError, match="mobilenet weights cannot become a mobilenet_dsc"):
        densify(build_generator("mobilenet"), "mobilenet_dsc")
