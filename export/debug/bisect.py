"""Finds the layers that must stay in float for the drop of quantisation to vanish."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...quantize.pipeline import QuantPlan, ort_infer, run_plan
from ...quantize.ptq.onnx_graph import quantise
from ...quantize.quality_drop import QualityDrop, float_outputs, measure_drop
from ...quantize.recipe import Recipe
from ...quantize.search.sensitivity import Limits
from ...runtimes.pictures.sample_inputs import SampleInput

if TYPE_CHECKING:
    from onnx import ModelProto

Measure = Callable[[Sequence[str]], QualityDrop]


@dataclasses.dataclass(frozen=True)
class FloatSet:
    """The layers to keep in float, and the quality drop with them; ``met``: within the limits."""

    layers: tuple[str, ...]
    drop: QualityDrop
    met: bool


def smallest_float_set(order: Sequence[str], measure: Measure, limits: Limits) -> FloatSet:
    """The layers that must stay in float, none of which can be spared.

    Args:
        order: Candidates, the one that is likely to matter most first. The first so many that
            suffice are found by halving, and then each is given up if the rest suffices.
        measure: The quality drop with these layers in float.
        limits: What suffices.
    """
    low, high = 0, len(order)
    whole = measure(order)
    if not limits.met_by(whole):
        return FloatSet(tuple(order), whole, met=False)
    while low < high:
        middle = (low + high) // 2
        if limits.met_by(measure(order[:middle])):
            high = middle
        else:
            low = middle + 1
    kept = list(order[:high])
    for layer in reversed(kept[:]):
        fewer = [other for other in kept if other != layer]
        if limits.met_by(measure(fewer)):
            kept = fewer
    return FloatSet(tuple(kept), measure(kept), met=True)


def measure_with_float_layers(
    model: ModelProto, plan: QuantPlan, samples: Sequence[SampleInput]
) -> Measure:
    """Quantise ``model`` by the plan's recipe, with these layers alone in float; and measure.

    Results are kept, since halving asks for some sets twice.

    Raises:
        ValueError: as `run_plan`.
    """
    quantised = run_plan(model, plan)
    floats = float_outputs(ort_infer(quantised.source, plan.threads), samples)
    known: dict[frozenset[str], QualityDrop] = {}

    def measure(layers: Sequence[str]) -> QualityDrop:
        key = frozenset(layers)
        if key not in known:
            recipe: Recipe = dataclasses.replace(plan.recipe, keep=tuple(layers))
            candidate = quantise(quantised.source, quantised.stats, recipe)
            known[key] = measure_drop(ort_infer(candidate, plan.threads), floats, samples)
        return known[key]

    return measure
