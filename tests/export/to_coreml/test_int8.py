"""``coreml-int8``: 8-bit weights, 8-bit activations, and the recipes that are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import produce
from edgedeblur.export.quality_gate import QualityDropError, with_quality_drop
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.calibration import calibration_set
from edgedeblur.quantize.pipeline import CalibrationStability, QuantPlan
from edgedeblur.quantize.ptq.coreml_layers import SMALL_WEIGHT, check_recipe
from edgedeblur.quantize.ptq.weights import quantised_weight, weight_scale
from edgedeblur.quantize.recipe import Recipe
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_coreml.interpreter import MilProgram

from tests.contracts import SIZE, pytorch
from tests.export.to_coreml.support import CoremlContract, spec_of

pytest.importorskip(
    "coremltools", reason="coremltools is not installed: pip install -e '.[coreml]'"
)


class TestCoremlInt8(CoremlContract):
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
        held = MilProgram(built[0])._constants
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
        with open_runner(path) as runner, pytest.raises(QualityDropError, match=message):
            with_quality_drop(manifest, runner, graph, spec, CalibrationStability(None))

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
