"""Quantised graphs against integer arithmetic that a person can check."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from edgedeblur.quantize.pipeline import merge_halves, ort_infer
from edgedeblur.quantize.ptq.equalise import equalise
from edgedeblur.quantize.ptq.onnx_graph import (
    correct_biases,
    layer_in_graph,
    layers,
    quantise,
    quantised_weight,
    weight_scale,
)
from edgedeblur.quantize.ptq.ranges import collect
from edgedeblur.quantize.recipe import Recipe
from onnx import numpy_helper

from tests.quantize.support import pictures, tiny

RNG = np.random.default_rng(3)

FIRST = RNG.normal(0, 0.5, (4, 3, 1, 1)).astype(np.float32)
LAST = RNG.normal(0, 0.3, (3, 4, 1, 1)).astype(np.float32)
RECIPE = Recipe(keep=("final",))


def watched(model, images=None):
    images = pictures() if images is None else images
    return collect(model, images, count=len(images), threads=1)


def test_weights_by_hand():
    # Row 0: largest 1.27, scale 0.01; row 1: largest 2.54, scale 0.02; halves to even.
    weight = np.float32([[1.27, -0.5], [-2.54, 0.01]]).reshape(2, 2, 1, 1)
    scale = weight_scale(weight, 0)
    assert scale == pytest.approx([0.01, 0.02])
    assert quantised_weight(weight, scale, 0).ravel().tolist() == [127, -50, -127, 0]
    assert float(weight_scale(weight, None)) == pytest.approx(0.02)
    assert weight_scale(np.zeros((1, 1, 1, 1)), 0) == pytest.approx([1 / 127])  # no division by 0


def test_static_int8_equals_integer_arithmetic():
    """u8 activations with zero point, s8 weights per output channel, int32 sums, float tail."""
    model = tiny(FIRST, LAST)
    stats = watched(model)
    infer = ort_infer(quantise(model, stats, RECIPE), 1)
    image = pictures(1)[0]

    def levels(values, low, high):
        scale = np.float32((high - low) / 255)
        zero = np.rint(-low / scale)
        return np.clip(np.rint(values / scale) + zero, 0, 255) - zero, scale

    inputs, input_scale = levels(image, min(stats["image"].low, 0), max(stats["image"].high, 0))
    scale = weight_scale(FIRST, 0)
    whole = quantised_weight(FIRST, scale, 0)[:, :, 0, 0].astype(np.int64)
    sums = np.einsum("oc,nchw->nohw", whole, inputs.astype(np.int64))  # exact integers
    real = sums * (input_scale * scale).reshape(1, -1, 1, 1)
    hidden, hidden_scale = levels(np.maximum(real, 0), 0.0, stats["y"].high)
    residual = np.einsum("oc,nchw->nohw", LAST[:, :, 0, 0], hidden * hidden_scale)
    expected = np.clip(np.tanh(residual) + image, -1, 1)
    # A sum that falls on a half may round either way: at most one level of the hidden layer.
    one_level = float(hidden_scale * np.abs(LAST).max())
    difference = np.abs(infer(image) - expected)
    assert difference.max() <= one_level * 1.01
    assert np.mean(difference > 1e-5) < 0.02


def test_statistics_are_exact():
    model = tiny(FIRST, LAST)
    images = pictures()
    stats = watched(model, images)
    stacked = np.concatenate(images)
    assert stats["image"].low == float(stacked.min())
    assert stats["image"].high == float(stacked.max())
    assert stats["image"].means == pytest.approx(stacked.mean(axis=(0, 2, 3)), abs=1e-6)
    hidden = np.maximum(np.einsum("oc,nchw->nohw", FIRST[:, :, 0, 0], stacked), 0)
    assert stats["y"].high == pytest.approx(float(hidden.max()), rel=1e-5)


def test_halves_merge_to_the_whole():
    model, images = tiny(FIRST, LAST), pictures(4)
    whole = watched(model, images)
    both = merge_halves(watched(model, images[::2]), watched(model, images[1::2]))
    for name, stats in whole.items():
        assert (both[name].low, both[name].high) == (stats.low, stats.high)
        assert both[name].means == pytest.approx(stats.means, abs=1e-6)


def test_kept_layers_stay_float_and_quantised_ones_do_not():
    model = tiny(FIRST, LAST)
    done = quantise(model, watched(model), RECIPE)
    kinds = {t.data_type for t in done.graph.initializer if len(t.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT}
    both = quantise(model, watched(model), dataclasses.replace(RECIPE, keep=()))
    assert {t.data_type for t in both.graph.initializer if len(t.dims) == 4} == {
        onnx.TensorProto.INT8
    }
    assert list(layers(model)) == ["a", "final"]


def test_weight_only_equals_rounded_weights():
    model = tiny(FIRST, LAST)
    recipe = dataclasses.replace(RECIPE, name="weight_only_w8")
    scale = weight_scale(FIRST, 0)
    rounded = quantised_weight(FIRST, scale, 0) * scale.reshape(-1, 1, 1, 1)
    image = pictures(1)[0]
    expected = ort_infer(tiny(rounded, LAST), 1)(image)
    assert np.abs(ort_infer(quantise(model, {}, recipe), 1)(image) - expected).max() <= 1e-6


@pytest.mark.parametrize("with_bias", [True, False])
def test_bias_correction_takes_the_mean_error_out(with_bias):
    # A uniform picture: the mean is every value, so the correction is exact.
    bias = np.float32([0.1, -0.2, 0.3, 0.0]) if with_bias else None
    model = tiny(FIRST, LAST, bias=bias)
    image = np.full((1, 3, 8, 8), 0.6, np.float32)
    stats = watched(model, [image])
    correct_biases(model, stats, {"final"})
    scale = weight_scale(FIRST, 0)
    rounded = quantised_weight(FIRST, scale, 0) * scale.reshape(-1, 1, 1, 1)
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    name = next(n for n in model.graph.node if n.name == "a").input[2]
    corrected = rounded[:, :, 0, 0] @ np.full(3, 0.6) + held[name]
    exact = FIRST[:, :, 0, 0] @ np.full(3, 0.6) + (0 if bias is None else bias)
    assert corrected == pytest.approx(exact, abs=1e-6)


def test_equalisation_changes_weights_but_not_answers():
    model = tiny(FIRST * np.float32([9, 1, 0.1, 1]).reshape(-1, 1, 1, 1), LAST)
    even, count = equalise(model, watched(model))
    assert count == 1
    for image in pictures():
        assert np.abs(ort_infer(even, 1)(image) - ort_infer(model, 1)(image)).max() <= 1e-5
    held = {t.name: numpy_helper.to_array(t) for t in even.graph.initializer}
    first = np.abs(held["a.weight"]).max(axis=(1, 2, 3))
    second = np.abs(held["final.weight"]).max(axis=(0, 2, 3))
    assert first == pytest.approx(second, rel=1e-5)  # both sides of a channel reach as far


def test_empty_calibration_fails():
    with pytest.raises(ValueError, match="no calibration pictures"):
        watched(tiny(FIRST, LAST), [])
    with pytest.raises(ValueError, match="no activations were calibrated"):
        quantise(tiny(FIRST, LAST), {}, RECIPE)


def test_nan_in_weights_and_pictures_fails():
    broken = FIRST.copy()
    broken[0, 0] = np.nan
    model = tiny(FIRST, LAST)
    with pytest.raises(ValueError, match=r"a\.weight holds NaN"):
        quantise(tiny(broken, LAST), watched(model), RECIPE)
    image = pictures(1)[0]
    image[0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="calibration picture 1: image has values from"):
        watched(model, [image])


def test_saturating_ranges_ruin_the_answer():
    model = tiny(FIRST, LAST)
    stats = watched(model)
    for seen in stats.values():
        seen.low, seen.high = seen.low / 50, seen.high / 50
    image = pictures(1)[0]
    error = np.abs(ort_infer(quantise(model, stats, RECIPE), 1)(image) - ort_infer(model, 1)(image))
    assert error.max() > 0.1


def test_an_unknown_layer_to_keep_is_named():
    model = tiny(FIRST, LAST)
    with pytest.raises(ValueError, match="keeps 'finale' in float, but there is no such layer"):
        quantise(model, watched(model), dataclasses.replace(RECIPE, keep=("finale",)))


def test_a_recipe_for_the_plain_graph_fits_the_rewritten_one():
    rewritten = {name: name for name in ("features.0.0", "smooth2.branches.1.conv", "td3.conv")}
    assert layer_in_graph("features.0.0", rewritten) == "features.0.0"
    assert layer_in_graph("smooth2.0.pointwise", rewritten) == "smooth2"
    assert layer_in_graph("lateral1", rewritten) == "td3"
    with pytest.raises(ValueError, match=r"keeps 'features\.1\.conv\.0' in float"):
        layer_in_graph("features.1.conv.0", rewritten)


def test_the_float_model_stays_as_it_is():
    model = tiny(FIRST, LAST)
    before = model.SerializeToString()
    quantise(model, watched(model), dataclasses.replace(RECIPE, correct_bias=True))
    equalise(model, watched(model))
    assert model.SerializeToString() == before
