"""Networks other than the MobileNet pyramids, against references written out over their tensors."""

from __future__ import annotations

import re

import pytest
import torch
from edgedeblur.export.prepare import drop_unused_features
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.models.network.generator import parameter_count
from edgedeblur.models.network.norm import fold_norms, norms, set_norm_mode
from edgedeblur.models.network.receptive_field import receptive_radius_px
from edgedeblur.models.network.registry import build_generator, get_backbone, get_network
from edgedeblur.models.network.tracing import behind
from torch import nn

from . import written_out

# SHA-256 of the names and shapes of the released files' tensors, aliases left out.
RELEASED = {
    "inception": "ad18a94ce9f430e2d2e121ff0d3ba15abb605096b0f71a92d70882688d6212b0",
    "deblurgan": "5bc56223e5f0b3d69b6119229deafde191c2ed5a9dcd25ba4d718263199fc0ae",
}
SIZES = {"inception": (160, 192), "deblurgan": (16, 24)}


def on_meta(name, **how):
    with torch.device("meta"):
        return build_generator(name, **how).eval()


@pytest.fixture(scope="module", params=RELEASED)
def released(request):
    """(name, generator as released with random weights, a picture)."""
    generator = written_out.randomise(build_generator(request.param, decoder_norm="instance"))
    torch.manual_seed(1)
    return request.param, generator, torch.rand(1, 3, *SIZES[request.param]) * 2 - 1


@pytest.mark.parametrize("name", RELEASED)
def test_tensors_are_those_of_the_released_files(name):
    generator = on_meta(name, decoder_norm="instance", dead_features=True)
    shapes = {key: tuple(tensor.shape) for key, tensor in generator.state_dict().items()}
    assert written_out.digest(shapes) == RELEASED[name]


@pytest.mark.parametrize("live", [False, True])
def test_network_computes_what_is_written_out(released, live):
    name, generator, image = released
    set_norm_mode(generator, "live" if live else "frozen")
    with torch.no_grad():
        found = generator(image)
        expected = getattr(written_out, name)(generator.state_dict(), image, live=live)
    assert (expected - image).abs().mean() > 0.1
    assert (found - expected).abs().max() <= 1e-4


def test_norms_fold_into_all_kinds_of_convolutions(released):
    _, generator, image = released
    set_norm_mode(generator, "frozen")
    folded = fold_norms(generator)
    assert not norms(folded)
    with torch.no_grad():
        assert (folded(image) - generator(image)).abs().max() <= 1e-4


def test_msr2b_computes_what_is_written_out():
    generator = written_out.randomise(build_generator("msr2b"))
    image = torch.rand(1, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        found, expected = generator(image), written_out.msr2b(generator.state_dict(), image)
    assert (found - expected).abs().max() <= 1e-5
    assert generator.decoder_norm == "none"
    assert not norms(generator)


def test_sizes_of_the_networks():
    # Per block: 1x1 256 to 128, three 3x3 over 32, 3x3 and 5x5 over 96, 1x1 320 to 256; biases.
    block = 256 * 128 + 3 * 9 * 32**2 + (9 + 25) * 96**2 + 320 * 256 + 128 + 3 * 32 + 2 * 96 + 256
    ends = 49 * 3 * 64 + 9 * (64 * 128 + 128 * 256) * 2 + 9 * 256 * 256 + 64 * 3
    biases = 64 + 128 + 256 + 256 + 128 + 64 + 3
    assert parameter_count(on_meta("msr2b")) == 9 * block + ends + biases == 5_444_771
    assert parameter_count(on_meta("deblurgan", decoder_norm="instance")) == 11_378_179
    whole = on_meta("inception", decoder_norm="instance", dead_features=True)
    assert parameter_count(whole) == 60_929_291
    assert parameter_count(drop_unused_features(whole)) == 35_840_099
    frame = (736, 1280)
    assert round(conv_macs(on_meta("deblurgan"), frame) / 1e9, 1) == 712.3
    assert round(conv_macs(on_meta("msr2b"), frame) / 1e9, 1) == 354.7
    assert round(conv_macs(on_meta("inception"), frame) / 1e9, 1) == 273.9


@pytest.mark.parametrize(("name", "radius"), [("deblurgan", 84), ("msr2b", 189)])
def test_receptive_radius_is_what_gradients_reach(name, radius):
    generator = build_generator(name).eval().double()
    for parameter in generator.parameters():
        parameter.data = parameter.data.abs() * 0.01 + 1e-3
    for norm in norms(generator).values():
        norm.weight.data.fill_(1e-3)
    for parameter in generator.get_submodule(get_network(name).last).parameters():
        parameter.data.fill_(1e-30)  # neither tanh nor clamp reaches its end
    image = torch.full((1, 3, 404, 8), 0.1, dtype=torch.double, requires_grad=True)
    output = generator(image)
    farthest = 0
    for row in range(200, 204):
        (grown,) = torch.autograd.grad(output[0, 0, row, 4], image, retain_graph=True)
        rows = grown[0].abs().sum((0, 2)).nonzero().flatten()
        farthest = max(farthest, row - int(rows.min()), int(rows.max()) - row)
    assert farthest == radius == receptive_radius_px(name)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["conv2d_2b", "maxpool_3a", "mixed_5b", "mixed_6a", "mixed_7a"])
def test_interval_behind_a_layer_is_what_gradients_reach(name, axis):
    backbone = get_backbone("inception")
    with torch.device("meta"):
        features = backbone.features(backbone.live_features, backbone.widths)
    reaches_alike(features.get_submodule(name), axis)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["repeat.0", "repeat_1.0"])
def test_interval_behind_a_residual_block_is_what_gradients_reach(name, axis):
    backbone = get_backbone("inception")
    with torch.device("meta"):
        features = backbone.features(backbone.live_features, backbone.widths)
    reaches_alike(features.get_submodule(name), axis)


def reaches_alike(layer, axis):
    """`behind` a layer from the meta device says what gradients do, with weights of one sign."""
    layer = layer.to_empty(device="cpu").double().eval()
    channels = next((m.in_channels for m in layer.modules() if isinstance(m, nn.Conv2d)), 3)
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor.fill_(0.01 if tensor.is_floating_point() else 0)
        for norm in norms(layer).values():
            norm.running_var.fill_(1.0)
            norm.weight.fill_(1.0)
    torch.manual_seed(0)
    image = torch.rand(1, channels, 17, 17, dtype=torch.double, requires_grad=True)
    reached = layer(image)
    place = reached.shape[-1] // 2
    (grown,) = torch.autograd.grad(reached[0, :, place, place].sum(), image)
    seen = grown[0].abs().sum((0, 2 - axis)).nonzero().flatten()
    low, high = int(seen.min()), int(seen.max())
    found = behind([layer], (place, place), axis)
    if any(isinstance(m, nn.MaxPool2d) for m in layer.modules()):  # one pixel of its window
        assert found[0] <= low
        assert high <= found[1]
    else:
        assert (low, high) == found


def test_state_with_dropout_between_is_the_same_network(tmp_path):
    plain = build_generator("deblurgan", decoder_norm="instance").state_dict()
    second = re.compile(r"(conv_block\.)([56])\.")
    moved = {second.sub(lambda m: f"{m[1]}{int(m[2]) + 1}.", n): t for n, t in plain.items()}
    assert "model.10.conv_block.7.running_var" in moved
    path = tmp_path / "latest_net_G.pth"
    torch.save(moved, path)
    checkpoint = load_checkpoint(str(path))
    assert (checkpoint.backbone, checkpoint.decoder_norm, checkpoint.norm) == (
        "deblurgan",
        "instance",
        "live",
    )
    assert set(checkpoint.state) == set(plain)
    assert all(torch.equal(checkpoint.state[name], plain[name]) for name in plain)


@pytest.mark.parametrize(("name", "norm"), [("deblurgan", "live"), ("msr2b", "frozen")])
def test_checkpoints_are_written_and_told_by_their_tensors(name, norm, tmp_path):
    generator = build_generator(name, decoder_norm="instance")
    path = tmp_path / "w.safetensors"
    save_checkpoint(generator, path, norm=norm)
    torch.save(generator.state_dict(), tmp_path / "w.pth")
    for file in (path, tmp_path / "w.pth"):
        checkpoint = load_checkpoint(str(file))
        assert (checkpoint.backbone, checkpoint.norm, checkpoint.key) == (name, norm, name)
        assert checkpoint.widths is None
        again = generator_from(checkpoint).state_dict()
        assert all(torch.equal(again[key], t) for key, t in generator.state_dict().items())
    with pytest.raises(ValueError, match=rf"holds a {name} checkpoint, not mobilenet; use --back"):
        load_checkpoint(str(path), backbone="mobilenet")


def test_networks_of_one_form_take_no_widths():
    with pytest.raises(ValueError, match="deblurgan has one form and takes no widths"):
        build_generator("deblurgan", widths=get_backbone("mobilenet").widths)
    other = get_backbone("inception").widths
    narrow = type(other)(**{**vars(other), "streams": (16, 64, 192, 1088, 2080)})
    with pytest.raises(ValueError, match="the streams of inception cannot be narrowed"):
        on_meta("inception", widths=narrow)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("inception", (160, 190), "160x190: both sides must be multiples of 32; .* is 160x192"),
        ("inception", (128, 192), "128x192: inception needs sides of 160 or more"),
        ("deblurgan", (30, 32), "30x32: both sides must be multiples of 4; the next .* is 32x32"),
        ("deblurgan", (4, 32), "4x32: deblurgan needs sides of 8 or more"),
    ],
)
def test_sizes_are_the_networks_own(name, size, message):
    with pytest.raises(ValueError, match=message):
        get_network(name).check_size(*size)
