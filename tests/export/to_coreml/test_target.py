from __future__ import annotations

import dataclasses
import json
import sys
import tempfile

import numpy as np
import pytest
import torch
from edgedeblur.export.arguments import build_parser
from edgedeblur.export.cli import main
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.quality_gate import DropError, with_cost
from edgedeblur.export.registry import get_target
from edgedeblur.export.to_coreml.model import expected, scratch, to_model
from edgedeblur.export.to_coreml.package import check_package, main_block, share_constants
from edgedeblur.export.to_coreml.target import convert_fp16
from edgedeblur.export.verify import ParityError, measure_parity
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.calibration import calibration_set
from edgedeblur.quantize.pipeline import QuantPlan, Settled
from edgedeblur.quantize.ptq.coreml_program import SMALL_WEIGHT, check_recipe
from edgedeblur.quantize.ptq.onnx_graph import quantised_weight, weight_scale
from edgedeblur.quantize.recipe import Recipe
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.pictures.sample_inputs import load_sample_inputs
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_coreml.interpreter import MODEL_FILE, MilProgram, load_spec, quiet
from edgedeblur.runtimes.run_coreml.runner import CoremlRunner

from tests.contracts import SIZE, TargetContract, pytorch, spec_for

pytest.importorskip(
    "coremltools", reason="coremltools is not installed: pip install -e '.[coreml]'"
)

ON_A_MAC = sys.platform == "darwin"
# What the Neural Engine is known to take (README); all else would be worth a look.
FRIENDLY = {
    "add", "cast", "clip", "concat", "conv", "conv_transpose", "mul", "pixel_shuffle", "relu",
    "round", "slice_by_index", "sub", "tanh", "upsample_nearest_neighbor",
}  # fmt: skip


def spec_of(name="coreml-fp16", size=SIZE, **options) -> ExportSpec:
    spec = spec_for(get_target(name), size=size)
    return dataclasses.replace(spec, options={**spec.options, **options})


class _Coreml(TargetContract):
    def embedded_text(self, path):
        return load_spec(path).description.metadata.userDefined[EMBED_KEY]

    def test_emulated_results_are_labelled(self, built):
        parity = built[1].parity
        assert parity.emulated is not ON_A_MAC
        assert parity.ran_on.startswith("CoremlRunner: cpu, 2 threads, ")
        assert ("emulated" in parity.ran_on) is not ON_A_MAC

    def test_takes_and_gives_rgb_pixels(self, built):
        path, manifest = built
        description = load_spec(path).description
        for feature, name in (
            (description.input[0], "image"),
            (description.output[0], "deblurred"),
        ):
            assert feature.name == name
            image = feature.type.imageType
            assert (image.height, image.width) == SIZE
            assert image.ColorSpace.Name(image.colorSpace) == "RGB"
            assert "RGB picture, 8 bits per channel, upright, 64 high and 96 w" in (
                feature.shortDescription
            )
        taken = manifest.input
        assert (taken.shape, taken.dtype, taken.layout) == ((1, *SIZE, 3), "uint8", "NHWC")
        assert taken.value_range == (0.0, 255.0)


class TestCoremlFp16(_Coreml):
    target_name = "coreml-fp16"

    def test_export_is_repeatable_silent_and_leaves_nothing(
        self, built, checkpoint, tmp_path, monkeypatch, capfd
    ):
        path, manifest = built
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        spec = dataclasses.replace(spec_of(), embed={EMBED_KEY: self.embedded_text(path)})
        again = tmp_path / "again.mlpackage"
        convert_fp16(prepare(checkpoint, norm="frozen"), spec, again)
        assert sha256_of(again) == manifest.sha256
        assert list(folder.iterdir()) == []
        assert capfd.readouterr() == ("", "")
        text = (again / MODEL_FILE).read_bytes()
        assert not any(word in text for word in (str(tmp_path).encode(), b"site-packages"))

    def test_program_is_half_precision_and_folded(self, built):
        path, manifest = built
        spec = load_spec(path)
        assert spec.specificationVersion == 7  # iOS 16
        kinds = MilProgram(path).kinds
        assert set(kinds) <= FRIENDLY
        assert kinds.count("conv") == 78
        assert kinds.count("cast") == 2  # pixels come and go as float32, nothing else is
        assert manifest.bytes <= 0.55 * 4 * manifest.params

    def test_metadata(self, built, checkpoint):
        metadata = load_spec(built[0]).description.metadata
        assert metadata.author == "edgedeblur"
        assert metadata.license == "Apache-2.0"
        assert "DeblurGAN-v2 generator (mobilenet_dsc; Kupyn" in metadata.shortDescription
        assert metadata.userDefined["edgedeblur.compute_units"] == "all"
        assert not any("date" in key for key in metadata.userDefined)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"ios": "15"}, "has specification 7; iOS 15 reads up to 6"),
            ({"pictures": False}, "image is imageType, not multiArrayType"),
            ({"sizes": ((96, 64),)}, r"pictures are 64x96 of 64x96, not 96x64 of 96x64 \(HxW\)"),
            ({"int8_weights": 3}, "0 weights are stored in 8 bits, 3 were to be"),
        ],
    )
    def test_structure_is_checked(self, built, checkpoint, changes, message):
        wanted = expected(prepare(checkpoint, norm="frozen"), spec_of())
        check_package(built[0], wanted)
        with pytest.raises(ValueError, match=message):
            check_package(built[0], dataclasses.replace(wanted, **changes))

    def test_small_constants_are_shared(self, built):
        spec = load_spec(built[0])
        before = len(main_block(spec).operations)
        values = [
            op.attributes["val"].SerializeToString(deterministic=True)
            for op in main_block(spec).operations
            if op.type == "const" and op.attributes["val"].HasField("immediateValue")
        ]
        assert len(values) == len(set(values))
        share_constants(spec)
        assert len(main_block(spec).operations) == before


class TestCoremlInt8(_Coreml):
    target_name = "coreml-int8"

    @pytest.fixture(scope="class")
    def built(self, target, checkpoint, tmp_path_factory):
        path = tmp_path_factory.mktemp("built") / "net.mlpackage"
        plan = QuantPlan(
            target.recipe(Recipe()), calibration_set(None, SIZE, count=2), max_drop_db=0.15
        )
        spec = dataclasses.replace(spec_of("coreml-int8"), quantise=plan)
        return path, produce(target, checkpoint, spec, path, norm="frozen", threads=2)

    def test_weights_are_8_bits_and_told_so(self, built):
        _, manifest = built
        assert manifest.bytes <= 0.30 * 4 * manifest.params
        assert manifest.quantisation.recipe["name"] == "weight_only_w8_perchannel"
        assert manifest.quantisation.psnr_drop_db <= 0.15
        assert manifest.calibration is None  # no picture set any range
        assert "int8 weights, fp16" in manifest.parity.ran_on

    def test_weights_are_those_rounded_by_hand(self, built, checkpoint):
        """coremltools' integers against ``round(w / scale)`` on the folded network's weights."""
        held = MilProgram(built[0])._held
        checked = 0
        for name, weight in prepare(checkpoint, norm="frozen").module.named_parameters():
            stored = f"network_{name}_to_fp16_quantized".replace(".", "_")
            if weight.ndim != 4 or weight.numel() <= SMALL_WEIGHT:
                assert stored not in held
                continue
            half = weight.detach().half().float().numpy()
            scale = weight_scale(half, 0).reshape(-1, 1, 1, 1)
            steps = held[stored].float().numpy() / scale
            # Scale and product are float16, which moves 127 steps by 2 * 127 * 2^-11 of one at
            # most; and a weight halfway between two integers may go either way.
            whole = np.rint(steps)
            assert np.abs(steps - whole).max() <= 0.125, name
            by_hand = quantised_weight(half, scale.ravel(), 0)
            assert np.abs(whole - by_hand).max() <= 1, name
            assert np.mean(whole != by_hand) <= 0.02, name
            checked += 1
        assert checked == 52

    def test_a_drop_too_large_is_refused(self, built, checkpoint):
        path, manifest = built
        plan = QuantPlan(Recipe(), calibration_set(None, SIZE, count=1), max_drop_db=-1.0)
        spec = dataclasses.replace(spec_of("coreml-int8"), quantise=plan)
        graph = prepare(checkpoint, norm="frozen")
        message = r"loses -?0\.\d+ dB against sharp .*keep layers in float.*nothing was written"
        with open_runner(path) as runner, pytest.raises(DropError, match=message):
            with_cost(manifest, runner, graph, spec, Settled(None))

    def test_scrambled_weights_are_caught(self):
        pytest.skip("one conversion for both precisions; coreml-fp16 has this test")


@pytest.fixture(scope="module")
def dsc():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.mark.slow
def test_activations_in_8_bits_from_ios_17_on(dsc, tmp_path, image):
    target = get_target("coreml-int8")
    recipe = Recipe(observer="percentile", correct_bias=True, keep=("final", "features.0.0"))
    plan = QuantPlan(recipe, calibration_set(None, SIZE, count=4), max_drop_db=1.0, threads=2)
    spec = dataclasses.replace(spec_of("coreml-int8", ios="17"), quantise=plan)
    path = tmp_path / "net.mlpackage"
    manifest = produce(target, dsc, spec, path, norm="frozen", threads=2)
    kinds = MilProgram(path).kinds
    assert kinds.count("quantize") > 60
    assert manifest.calibration.images == 4
    assert manifest.quantisation.stability_db is not None
    assert "int8 weights and activations" in manifest.parity.ran_on
    with open_runner(path) as runner:
        error = np.abs(runner.infer(image) - pytorch(dsc, image)).max()
    assert 2 / 255 < error < 0.25  # 8 bits show, and no more than that


@pytest.mark.parametrize(
    ("recipe", "ios", "message"),
    [
        ("static_w8a8_perchannel", "16", "8-bit activations need iOS 17; use --ios 17, or --rec"),
        ("static_w8a16_perchannel", "18", "no 16-bit activations"),
        ("weight_only_w8_perchannel", "15", "8-bit weights need iOS 16; use --ios 16$"),
    ],
)
def test_recipes_that_core_ml_cannot_have(recipe, ios, message):
    with pytest.raises(ValueError, match=message):
        check_recipe(Recipe(recipe), ios)


def test_equalisation_is_refused():
    with pytest.raises(ValueError, match="does not equalise layers"):
        check_recipe(Recipe(equalise=True), "17")


def test_frozen_instance_norms_are_not_turned_live(released_h5, tmp_path):
    """coremltools 9.0 makes a live ``instance_norm`` of a frozen one; both gates notice."""
    checkpoint = load_checkpoint(str(released_h5))
    assert checkpoint.decoder_norm == "instance"
    graph, spec = prepare(checkpoint, norm="frozen"), spec_of(io="tensor")
    unfolded = dataclasses.replace(graph, module=graph.reference)
    bad = tmp_path / "bad.mlpackage"
    with scratch(), quiet():
        to_model(unfolded, spec).save(str(bad))
    assert MilProgram(bad).kinds.count("instance_norm") == 5
    with pytest.raises(ValueError, match="norms are to be frozen, but the program holds instance_"):
        check_package(bad, expected(graph, spec))

    target = get_target("coreml-fp16")
    good = tmp_path / "good.mlpackage"
    manifest = produce(target, checkpoint, spec, good, norm="frozen", threads=2)
    assert "instance_norm" not in MilProgram(good).kinds
    samples = load_sample_inputs(SIZE, 32, dynamic=False, count=1)
    runner = CoremlRunner(bad, manifest, threads=2, device="cpu")
    with pytest.raises(ParityError, match="coreml-fp16 differs from PyTorch"):
        measure_parity(runner, graph.reference, samples, tolerance_psnr_db=50.0)


@pytest.mark.slow
def test_live_norms_sum_in_float32(dsc, tmp_path):
    path = tmp_path / "net.mlpackage"
    manifest = produce(
        get_target("coreml-fp16"), dsc, spec_of(size=(64, 64)), path, norm="live", threads=2
    )
    assert manifest.parity.worst_psnr_db >= 50.0
    inside = {
        op.outputs[0].type.tensorType.dataType
        for op in main_block(load_spec(path)).operations
        if op.type in ("reduce_mean", "sqrt", "real_div")
    }
    assert inside == {11}  # FLOAT32 in MIL.proto; FLOAT16 is 10


def test_several_sizes_in_one_package(dsc, tmp_path, photo):
    path = tmp_path / "net.mlpackage"
    spec = spec_of(enumerate="96x64,64x64")
    manifest = produce(get_target("coreml-fp16"), dsc, spec, path, norm="frozen", threads=2)
    assert manifest.input.sizes == ((64, 96), (96, 64), (64, 64))
    assert manifest.parity.pictures == 4 + 2
    kind = load_spec(path).description.input[0].type.imageType
    found = {(s.height, s.width) for s in kind.enumeratedSizes.sizes}
    assert found == {(64, 96), (96, 64), (64, 64)}
    with open_runner(path) as runner:
        for height, width in manifest.input.sizes:
            corner = photo[:height, :width].transpose(2, 0, 1)[None]
            x = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
            assert np.abs(runner.infer(x) - pytorch(dsc, x)).max() <= 4 / 255
        with pytest.raises(ValueError, match=r"takes 64x96 or 96x64 or 64x64 \(HxW\), not 32x64"):
            runner.infer(np.zeros((1, 3, 32, 64), np.float32))


def test_rewritten_networks_convert(tmp_path):
    """All exact rewrites at once: transposed convolutions and pixel shuffle are emulated, too."""
    from edgedeblur.export.rewrites.rewrite import parse_steps

    checkpoint = load_checkpoint("zoo:mobilenet")
    path = tmp_path / "net.mlpackage"
    manifest = produce(
        get_target("coreml-fp16"), checkpoint, spec_of(ios="15"), path, norm="frozen",
        rewrites=parse_steps("all"), threads=2,
    )  # fmt: skip
    assert {"conv_transpose", "pixel_shuffle"} <= set(MilProgram(path).kinds) <= FRIENDLY
    assert manifest.parity.worst_psnr_db >= 50.0
    assert load_spec(path).specificationVersion == 6


def test_pixels_are_exact_where_nothing_is_added(dsc):
    """With a residual of nought the border gives every pixel back as it came, in float16."""
    from edgedeblur.export.to_coreml.io_types import PictureBorder

    class Nothing(torch.nn.Module):
        def residual(self, image):
            return torch.zeros_like(image)

    pixels = torch.arange(256.0).reshape(1, 1, 16, 16)
    assert torch.equal(PictureBorder(Nothing())(pixels), pixels)
    assert torch.equal(PictureBorder(Nothing())(pixels.half()).float(), pixels)


@pytest.mark.skipif(ON_A_MAC, reason="a Mac runs the artifact itself")
def test_list_says_that_it_is_emulated(capsys):
    assert main(["--list", "--json"]) == 0
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows["coreml-int8"]
    assert (row["builds_here"], row["runs_here"]) == (True, False)
    assert row["cannot_run"] == "its runtime does not exist on this system; it is emulated"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ios", "14"], "invalid choice: '14'"),
        (["--io", "jpeg"], "invalid choice: 'jpeg'"),
        (["--enumerate", "100x100"], "both sides must be multiples of 32"),
        (["--compute-units", "gpu"], "invalid choice: 'gpu'"),
    ],
)
def test_wrong_options(words, message, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--target", "coreml-fp16", *words])
    assert message in capsys.readouterr().err
