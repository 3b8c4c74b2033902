"""Parts of the other networks' exports, small: the whole networks through every target are slow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.export.build import Settings, _kept_layers
from edgedeblur.export.prepare import check_norm_size, prepare
from edgedeblur.export.registry import get_target, targets
from edgedeblur.export.rewrites.transposed import CroppedTransposed, with_cropped_transposed
from edgedeblur.export.to_tflite.io_types import NhwcWrapper
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.network.registry import build_generator, get_network
from edgedeblur.runtimes.pictures.tile_plan import TilingOptions
from edgedeblur.runtimes.pictures.tiling import deblur_picture
from edgedeblur.runtimes.registry import open_runner
from torch import nn

from tests.models.network import written_out

OURS = ("coreml", "executorch", "ncnn", "onnx", "openvino", "tflite", "trt")
FLOATS, INT8 = (
    [n for n, t in targets().items() if t.format in OURS and t.needs_calibration == calibrated]
    for calibrated in (False, True)
)
LEAST_SNR_DB = 20.0  # below what was measured: see docs/networks/NETWORKS.md


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("groups", [1, 2])
def test_cropped_transposed_is_the_same_convolution(kernel, groups):
    torch.manual_seed(0)
    plain = nn.ConvTranspose2d(
        4, 6, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=1, groups=groups
    )
    found = with_cropped_transposed(nn.Sequential(plain))
    assert type(found[0]) is CroppedTransposed
    assert type(plain) is nn.ConvTranspose2d
    image = torch.randn(1, 4, 5, 7)
    torch.testing.assert_close(found(image), plain(image), atol=1e-6, rtol=0)


def test_a_relu_in_place_after_a_crop_scatters_nothing():
    plain = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1)
    layers = with_cropped_transposed(nn.Sequential(plain, nn.ReLU(inplace=True)))
    traced = torch.export.export(layers.eval(), (torch.rand(1, 2, 5, 7),)).run_decompositions()
    called = [str(node.target) for node in traced.graph.nodes if node.op == "call_function"]
    assert "aten.relu.default" in called
    assert not [name for name in called if "scatter" in name or "copy" in name]


def test_paddings_that_no_crop_makes_are_refused():
    dilated = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1, dilation=2)
    larger = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=0, output_padding=1)
    for layer in (dilated, larger):
        with pytest.raises(ValueError, match=r"^0: .*transposed convolution of this padding"):
            with_cropped_transposed(nn.Sequential(layer))
    whole = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)
    assert type(with_cropped_transposed(nn.Sequential(whole))[0]) is nn.ConvTranspose2d


@pytest.mark.parametrize(
    ("layers", "apart"),
    [
        ([nn.Conv2d(3, 3, 3)], True),
        ([nn.Conv2d(3, 3, 3, padding=1)], False),
        ([nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3)], False),
    ],
)
def test_pixels_factor_stays_out_of_a_first_convolution_without_padding(layers, apart):
    wrapper = NhwcWrapper(nn.Sequential(*layers), levels=True)
    assert wrapper.apart == apart
    assert not NhwcWrapper(nn.Sequential(*layers), levels=False).apart
    image = torch.rand(1, 5, 5, 3) * 255
    wrapper.apart = not apart  # the clamp changes nothing
    other = wrapper(image)
    wrapper.apart = apart
    torch.testing.assert_close(wrapper(image), other)


def test_final_in_a_recipe_is_the_last_layer():
    assert _kept_layers(("final", "smooth"), "final.pointwise") == ("final", "smooth")
    assert _kept_layers(("final", "model.1"), "model.26") == ("model.26", "model.1")
    assert _kept_layers(("final", "a"), "") == ("a",)


def test_live_norms_need_norms():
    with pytest.raises(ValueError, match="msr2b has no norms; leave out --norm live"):
        check_norm_size(get_network("msr2b"), "live", (64, 64))
    check_norm_size(get_network("deblurgan"), "live", (8, 8))
    with pytest.raises(ValueError, match="cannot be used at 32x32"):
        check_norm_size(get_network("mobilenet"), "live", (32, 32))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Name -> a file of the network with random weights, made when it is asked for."""
    folder, made = tmp_path_factory.mktemp("family"), {}

    def get(name):
        if name not in made:
            generator = written_out.randomise(build_generator(name, decoder_norm="instance"))
            last = generator.get_submodule(get_network(name).last)
            with torch.no_grad():
                # As small as in the recorded fixtures: gains of 0.005 and 0.001 instead of 1.5.
                last.weight.mul_(0.026 if name == "deblurgan" else 0.05)
            made[name] = folder / f"{name}.pth"
            torch.save(generator.state_dict(), made[name])
        return made[name]

    return get


def test_scales_of_residual_blocks_are_folded(weights):
    checkpoint = load_checkpoint(str(weights("inception")))
    graph = prepare(checkpoint, norm="frozen")
    block = graph.module.get_submodule("fpn.inception.repeat.0")
    whole = graph.reference.get_submodule("fpn.inception.repeat.0")
    torch.testing.assert_close(block.conv2d.weight, whole.conv2d.weight * 0.17)
    image = torch.rand(1, 3, 160, 160) * 2 - 1
    with torch.no_grad():
        assert (graph.module(image) - graph.reference(image)).abs().max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("norm", ["frozen", "live"])
@pytest.mark.parametrize("name", ["inception", "deblurgan", "msr2b"])
def test_networks_meet_pytorch_through_every_float_target(name, norm, target, weights, tmp_path):
    from edgedeblur.export import export

    suffix = get_target(target).suffix
    settings = Settings(norm=norm, threads=1)
    size = (max(64, get_network(name).smallest_side),) * 2

    def build():
        return export(
            weights(name), target, size=size, output=tmp_path / f"a{suffix}", settings=settings
        )

    if norm == "live" and (name == "msr2b" or target.startswith("tflite")):
        with pytest.raises(ValueError, match=r"has no norms|needs frozen norms"):
            build()
        return
    parity = build().manifest.parity
    assert parity.worst_psnr_db >= get_target(target).tolerance_psnr_db


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx-fp32", "openvino-fp32", "ncnn-fp32", "trt-fp32"])
@pytest.mark.parametrize("name", ["inception", "deblurgan", "msr2b"])
def test_files_of_free_size_take_any_picture(name, target, weights, tmp_path):
    from edgedeblur.export import export

    path = tmp_path / f"a{get_target(target).suffix}"
    settings = Settings(norm="frozen", threads=1)
    done = export(
        weights(name), target, size=(160, 160), output=path, dynamic=True, settings=settings
    )
    assert done.manifest.parity.worst_psnr_db >= get_target(target).tolerance_psnr_db
    if target.startswith("trt"):
        return  # where there is no GPU, the plan cannot be opened
    reference = generator_from(load_checkpoint(str(weights(name))), norm="frozen")
    side = get_network(name).smallest_side
    picture = np.random.default_rng(0).integers(0, 256, (5, side + 1, 3), dtype=np.uint8)
    padded = deblur_picture(
        lambda image: reference(torch.from_numpy(image)).detach().numpy(),
        picture,
        size=None,
        multiple=get_network(name).size_multiple,
        smallest=side,
        receptive_radius_px=None,
        options=TilingOptions(),
    )
    with open_runner(path, threads=1) as runner:
        difference = np.abs(runner.deblur(picture).astype(int) - padded)
    assert difference.max() <= 1


def check_8_bits(name, target, size, file, folder):
    """Noise of 8 bits well below the residual: at random weights the drop alone tells little."""
    from edgedeblur.export import export

    settings = Settings(norm="frozen", threads=1, calibration_count=4, rewrite="none")
    path = folder / f"a{get_target(target).suffix}"
    done = export(file, target, size=(size, size), output=path, settings=settings)
    assert done.manifest.quantisation.psnr_drop_db <= 0.1
    assert done.manifest.quantisation.residual_snr_db >= LEAST_SNR_DB


@pytest.mark.slow
@pytest.mark.parametrize("target", INT8)
@pytest.mark.parametrize("name", ["inception", "deblurgan", "msr2b"])
def test_networks_keep_the_drop_gate_in_8_bits(name, target, weights, tmp_path):
    check_8_bits(name, target, max(64, get_network(name).smallest_side), weights(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", INT8)
@pytest.mark.parametrize("name", ["inception", "deblurgan", "msr2b"])
def test_networks_keep_the_drop_gate_in_8_bits_at_256(name, target, weights, tmp_path):
    check_8_bits(name, target, 256, weights(name), tmp_path)


@pytest.mark.heavy
def test_a_small_network_keeps_the_drop_gate_in_8_bits(weights, tmp_path):
    check_8_bits("msr2b", "onnx-int8", 64, weights("msr2b"), tmp_path)
