"""Sensitivity of layers to 8 bits: each alone, each kept in float; weights against activations."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.optional import require
from ...runtimes.pictures.sample_inputs import SampleInput
from ..pipeline import QuantisedOnnx, QuantPlan, ort_infer
from ..ptq.observers import Range
from ..ptq.onnx_graph import choose_ranges, layers, quantise
from ..quality_drop import QualityDrop, float_outputs, measure_drop
from ..recipe import Recipe, is_kept
from .candidate_bench import CandidateBench, interleaved_times
from .results_cache import ResultsCache

if TYPE_CHECKING:
    from onnx import ModelProto

Measure = Callable[["ModelProto"], QualityDrop]


@dataclass(frozen=True)
class Limits:
    """Quality limits of a recipe, on the samples."""

    max_drop_db: float
    min_snr_db: float

    def met_by(self, drop: QualityDrop) -> bool:
        """Whether a drop is within both limits."""
        return drop.psnr_drop_db <= self.max_drop_db and drop.residual_snr_db >= self.min_snr_db


@dataclass(frozen=True)
class LayerCost:
    """Cost and gain of quantising one layer, against the float and the all-int8 network.

    Attributes:
        layer: Its name.
        spared_snr_db: Residual SNR gained when it alone stays float.
        spared_psnr_db: PSNR against sharp gained when it alone stays float.
        alone_snr_db: Residual SNR when it alone is quantised.
        alone_drop_db: PSNR lost against sharp when it alone is quantised.
        saved_ms: Time saved by its 8 bits: with it in float, minus all-int8 (interleaved medians).
    """

    layer: str
    spared_snr_db: float
    spared_psnr_db: float
    alone_snr_db: float
    alone_drop_db: float
    saved_ms: float


def layer_costs(
    bench: CandidateBench, recipe: Recipe, cache: ResultsCache, *, rounds: int
) -> list[LayerCost]:
    """Measure every quantised layer, the most useful to keep in float first.

    Sorted by the residual SNR gained, then by the time it costs.
    """
    quantised = bench.quantise(recipe)
    floats = float_outputs(bench.infer(quantised.source), bench.samples)
    whole = bench.infer(quantised.model)
    base = measure_drop(whole, floats, bench.samples)
    names = quantised_layers(quantised, recipe)
    image = bench.samples[0].image
    ranges = shared_ranges(quantised, recipe)

    def candidate(kept: Sequence[str]) -> ModelProto:
        return quantise(quantised.source, quantised.stats, keep_in_float(recipe, kept), ranges)

    def measured(layer: str) -> dict[str, Any]:
        spared = bench.infer(candidate([layer]))
        off = measure_drop(spared, floats, bench.samples)
        alone = candidate([other for other in names if other != layer])
        on = measure_drop(bench.infer(alone), floats, bench.samples)
        with_float, with_int8 = interleaved_times([spared, whole], image, rounds)
        return {
            "spared_snr_db": off.residual_snr_db - base.residual_snr_db,
            "spared_psnr_db": base.psnr_drop_db - off.psnr_drop_db,
            "alone_snr_db": on.residual_snr_db,
            "alone_drop_db": on.psnr_drop_db,
            "saved_ms": with_float - with_int8,
        }

    costs: list[LayerCost] = []
    for number, layer in enumerate(names):
        bench.log(f"layer {number + 1} of {len(names)}: {layer}")
        costs.append(LayerCost(layer, **cache.get(layer, lambda name=layer: measured(name))))
    return sorted(costs, key=lambda cost: (-round(cost.spared_snr_db, 2), cost.saved_ms))


def quantised_layers(quantised: QuantisedOnnx, recipe: Recipe) -> list[str]:
    """Layers that the recipe quantises, in graph order."""
    return [layer for layer in layers(quantised.source) if not is_kept(layer, recipe.keep)]


def shared_ranges(quantised: QuantisedOnnx, recipe: Recipe) -> dict[str, Range] | None:
    """Activation ranges shared by all candidates; None where activations stay float."""
    return None if recipe.scheme.activation_bits is None else choose_ranges(quantised.stats, recipe)


def keep_in_float(recipe: Recipe, extra: Sequence[str]) -> Recipe:
    """The recipe with more layers in float."""
    return dataclasses.replace(recipe, keep=(*recipe.keep, *extra))


def drop_measure(
    quantised: QuantisedOnnx, plan: QuantPlan, samples: Sequence[SampleInput]
) -> Measure:
    """A function that measures a candidate's drop on these pictures, in onnxruntime."""
    floats = float_outputs(ort_infer(quantised.source, plan.threads), samples)
    return lambda model: measure_drop(ort_infer(model, plan.threads), floats, samples)


def most_sensitive_layers(
    quantised: QuantisedOnnx, plan: QuantPlan, samples: Sequence[SampleInput], *, count: int
) -> list[tuple[str, float]]:
    """The layers that gain most residual SNR when kept in float, with the gain in dB."""
    measure = drop_measure(quantised, plan, samples)
    base = measure(quantised.model).residual_snr_db
    gains: list[tuple[str, float]] = []
    names = quantised_layers(quantised, plan.recipe)
    ranges = shared_ranges(quantised, plan.recipe)
    for number, layer in enumerate(names):
        plan.log(f"measuring layer sensitivity: {number + 1} of {len(names)}")
        spared = quantise(
            quantised.source, quantised.stats, keep_in_float(plan.recipe, [layer]), ranges
        )
        gains.append((layer, measure(spared).residual_snr_db - base))
    return sorted(gains, key=lambda pair: -pair[1])[:count]


def drop_by_operand(
    quantised: QuantisedOnnx, recipe: Recipe, measure: Measure
) -> dict[str, QualityDrop]:
    """The drop with only the weights in 8 bits, with only the activations, and with both."""
    weights = quantise(
        quantised.source,
        quantised.stats,
        dataclasses.replace(recipe, name="weight_only_w8_perchannel"),
    )
    # Biases corrected for rounded weights would be wrong for exact ones.
    plain = quantise(
        quantised.source, quantised.stats, dataclasses.replace(recipe, correct_bias=False)
    )
    return {
        "weights only": measure(weights),
        "activations only": measure(_with_float_weights(plain, quantised.source)),
        "both": measure(quantised.model),
    }


def _with_float_weights(quantised: ModelProto, source: ModelProto) -> ModelProto:
    """The quantised graph with float weights restored."""
    numpy_helper = require("onnx", extra="export-onnx").numpy_helper
    model = copy.deepcopy(quantised)
    initializers = {tensor.name: tensor for tensor in source.graph.initializer}
    floats = {node.name: node.input[1] for node in source.graph.node if len(node.input) > 1}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and not any(
            tensor.name == node.input[1] for tensor in model.graph.initializer
        ):
            name = f"{node.name}/float"
            whole = numpy_helper.to_array(initializers[floats[node.name]])
            model.graph.initializer.append(
                numpy_helper.from_array(np.ascontiguousarray(whole), name)
            )
            node.input[1] = name
    return model
