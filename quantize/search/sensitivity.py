"""Which layers suffer from 8 bits: each alone, each spared, and weights apart from activations."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.optional import require
from ...runtimes.pictures.sample_inputs import SampleInput
from ..pipeline import Quantised, QuantPlan, ort_infer
from ..ptq.observers import Range
from ..ptq.onnx_graph import choose_ranges, layers, quantise
from ..quality_drop import Drop, float_outputs, measure_drop
from ..recipe import Recipe, is_kept
from .candidate_bench import CandidateBench, times_in_turns
from .results_cache import ResultsCache

if TYPE_CHECKING:
    from onnx import ModelProto

Measure = Callable[["ModelProto"], Drop]


@dataclass(frozen=True)
class Limits:
    """What a recipe must keep, on the samples."""

    max_drop_db: float
    min_snr_db: float

    def met_by(self, drop: Drop) -> bool:
        """Whether a drop is within both."""
        return drop.psnr_drop_db <= self.max_drop_db and drop.residual_snr_db >= self.min_snr_db


@dataclass(frozen=True)
class LayerCost:
    """What one layer's 8 bits cost and save; the float network, or the whole int8 one, compared.

    Attributes:
        layer: Its name.
        spared_snr_db: Residual SNR gained when it alone stays float.
        spared_psnr_db: PSNR against sharp gained when it alone stays float.
        alone_snr_db: Residual SNR when it alone is quantised.
        alone_drop_db: PSNR lost against sharp when it alone is quantised.
        saved_ms: Time that its 8 bits save: with it in float, minus without (medians, in turns).
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
    """Every quantised layer off and on, the one most worth sparing first.

    The order is by the residual SNR gained, by what it costs in time among equals.
    """
    done = bench.quantised(recipe)
    floats = float_outputs(bench.infer(done.source), bench.samples)
    whole = bench.infer(done.model)
    base = measure_drop(whole, floats, bench.samples)
    names = quantised_layers(done, recipe)
    image = bench.samples[0].image
    ranges = shared_ranges(done, recipe)

    def candidate(kept: Sequence[str]) -> ModelProto:
        return quantise(done.source, done.stats, with_kept(recipe, kept), ranges)

    def measured(layer: str) -> dict[str, Any]:
        spared = bench.infer(candidate([layer]))
        off = measure_drop(spared, floats, bench.samples)
        alone = candidate([other for other in names if other != layer])
        on = measure_drop(bench.infer(alone), floats, bench.samples)
        with_float, with_int8 = times_in_turns([spared, whole], image, rounds)
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


def quantised_layers(done: Quantised, recipe: Recipe) -> list[str]:
    """The layers that a recipe quantises, in the order of the graph."""
    return [layer for layer in layers(done.source) if not is_kept(layer, recipe.keep)]


def shared_ranges(done: Quantised, recipe: Recipe) -> dict[str, Range] | None:
    """The ranges that all candidates share; None where activations stay float."""
    return None if recipe.scheme.activation_bits is None else choose_ranges(done.stats, recipe)


def with_kept(recipe: Recipe, extra: Sequence[str]) -> Recipe:
    """The recipe with more layers in float."""
    return dataclasses.replace(recipe, keep=(*recipe.keep, *extra))


def drop_measure(done: Quantised, plan: QuantPlan, samples: Sequence[SampleInput]) -> Measure:
    """A function from a candidate to its drop on these pictures, in onnxruntime."""
    floats = float_outputs(ort_infer(done.source, plan.threads), samples)
    return lambda model: measure_drop(ort_infer(model, plan.threads), floats, samples)


def most_harmful(
    done: Quantised, plan: QuantPlan, samples: Sequence[SampleInput], *, count: int
) -> list[tuple[str, float]]:
    """The layers whose float form helps the residual SNR most, with that help in dB."""
    measure = drop_measure(done, plan, samples)
    base = measure(done.model).residual_snr_db
    gains: list[tuple[str, float]] = []
    names = quantised_layers(done, plan.recipe)
    ranges = shared_ranges(done, plan.recipe)
    for number, layer in enumerate(names):
        plan.log(f"sparing layers one by one: {number + 1} of {len(names)}")
        spared = quantise(done.source, done.stats, with_kept(plan.recipe, [layer]), ranges)
        gains.append((layer, measure(spared).residual_snr_db - base))
    return sorted(gains, key=lambda pair: -pair[1])[:count]


def split(done: Quantised, recipe: Recipe, measure: Measure) -> dict[str, Drop]:
    """The drop with only the weights in 8 bits, with only the activations, and with both."""
    weights = quantise(
        done.source,
        done.stats,
        dataclasses.replace(recipe, name="weight_only_w8_perchannel"),
    )
    # Biases that are corrected for rounded weights would be wrong for exact ones.
    plain = quantise(done.source, done.stats, dataclasses.replace(recipe, correct_bias=False))
    return {
        "weights only": measure(weights),
        "activations only": measure(_exact_weights(plain, done.source)),
        "both": measure(done.model),
    }


def _exact_weights(quantised: ModelProto, source: ModelProto) -> ModelProto:
    """The quantised graph with its float weights put back."""
    numpy_helper = require("onnx", extra="onnx").numpy_helper
    model = copy.deepcopy(quantised)
    held = {tensor.name: tensor for tensor in source.graph.initializer}
    floats = {node.name: node.input[1] for node in source.graph.node if len(node.input) > 1}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and not any(
            tensor.name == node.input[1] for tensor in model.graph.initializer
        ):
            name = f"{node.name}/float"
            whole = numpy_helper.to_array(held[floats[node.name]])
            model.graph.initializer.append(
                numpy_helper.from_array(np.ascontiguousarray(whole), name)
            )
            node.input[1] = name
    return model
