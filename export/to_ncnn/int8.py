"""``ncnn-int8``: quantise by the plan, and check the stability of its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...quantize.ptq.ncnn_model import (
    NcnnModel,
    check_recipe,
    collect_stats,
    float_net,
    int8_layers,
    quantise,
)
from ...runtimes.optional import require
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from ..quality_gate import calibration_stability

if TYPE_CHECKING:
    from ...quantize.pipeline import CalibrationStability, QuantPlan
    from ...quantize.quality_drop import Infer


def checked_plan(graph: Graph, spec: ExportSpec) -> QuantPlan:
    """The plan in ``spec.quantise``.

    Raises:
        ValueError: no plan, live norms, or a recipe that ncnn does not support.
    """
    plan = spec.quantise
    if plan is None:
        raise ValueError(f"{spec.target} needs calibration pictures")
    if graph.norm != "frozen":
        raise ValueError(f"{spec.target} needs frozen norms; use --norm frozen")
    check_recipe(plan.recipe)
    return plan


def quantised_model(
    model: NcnnModel, graph: Graph, spec: ExportSpec
) -> tuple[NcnnModel, CalibrationStability]:
    """Calibrate in ncnn itself and quantise.

    Args:
        model: ``graph`` in float32.
        graph: Names the layers, and is the reference for the stability.
        spec: Its plan says how.

    Returns:
        The model, and the stability between the two halves of the calibration pictures.

    Raises:
        ValueError: as `checked_plan`, or the recipe keeps a layer that is not there.
    """
    plan = checked_plan(graph, spec)
    layers = int8_layers(model, graph.module, plan.recipe)
    images = list(plan.calibration.images())
    plan.log(f"calibrating on {plan.calibration.origin}: {len(images)} pictures")
    stats = collect_stats(model, layers, images, plan.threads)
    plan.log(f"quantising: {plan.recipe.name}")
    done = quantise(model, layers, stats, plan.recipe)

    def of_half(half: int) -> Infer:
        return infer_function(quantise(model, layers, stats[half::2], plan.recipe), plan.threads)

    return done, calibration_stability(graph, spec, of_half)


def infer_function(model: NcnnModel, threads: int) -> Infer:
    """The model in ncnn as a function on float32 (1, 3, H, W) in [-1, 1]."""
    ncnn = require("ncnn", extra="export-ncnn")
    net = float_net(ncnn, model, threads)

    def infer(image: np.ndarray) -> np.ndarray:
        with net.create_extractor() as extractor:
            extractor.input(INPUT_NAME, ncnn.Mat(image[0]))
            return np.array(extractor.extract(OUTPUT_NAME)[1])[None]

    return infer
