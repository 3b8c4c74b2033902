"""``executorch-int8``: quantise by the plan, and check the stability of its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...quantize.pipeline import CalibrationStability, QuantPlan
from ...quantize.ptq.pt2e import quantised_module
from ...quantize.quality_drop import float_outputs, measure_drop
from ...runtimes.pictures.sample_inputs import load_sample_inputs
from ..graph import ExportSpec, Graph
from ..verify import PARITY_PICTURES, run_reference

if TYPE_CHECKING:
    from torch import nn


def quantised_network(graph: Graph, spec: ExportSpec) -> tuple[nn.Module, CalibrationStability]:
    """Quantise by the plan in ``spec.quantise``.

    Returns:
        The network with Q/DQ pairs, and the stability between the two halves of the calibration
        pictures.

    Raises:
        ValueError: no plan, live norms, a backend without 8-bit kernels, or a recipe that this
            quantiser does not support.
    """
    plan = spec.quantise
    if plan is None:
        raise ValueError(f"{spec.target} needs calibration pictures")
    if graph.norm != "frozen":
        raise ValueError(f"{spec.target} needs frozen norms; use --norm frozen")
    if spec.options["backend"] != "xnnpack":
        raise ValueError(
            f"{spec.target} is for --backend xnnpack; its pairs are placed by XNNPACK's rules"
        )
    images = list(plan.calibration.images())
    plan.log(f"quantising: {plan.recipe.name}, {len(images)} calibration pictures")
    network = quantised_module(graph.module, plan.recipe, images, plan.threads)
    return network, CalibrationStability(_stability_db(graph, spec, plan, images))


def _stability_db(
    graph: Graph, spec: ExportSpec, plan: QuantPlan, images: Sequence[np.ndarray]
) -> float | None:
    """Difference between the halves' networks in PSNR against sharp pictures, dB.

    None with a single picture.
    """
    if len(images) < 2:
        return None
    plan.log("comparing the two halves of the calibration pictures")
    multiple = graph.checkpoint.size_multiple
    samples = load_sample_inputs(spec.size, multiple, dynamic=False, count=PARITY_PICTURES)
    floats = float_outputs(lambda image: run_reference(graph.reference, image), samples)
    drops: list[float] = []
    for start in (0, 1):
        half = quantised_module(graph.module, plan.recipe, list(images[start::2]), plan.threads)
        drop = measure_drop(lambda image, net=half: run_reference(net, image), floats, samples)
        drops.append(drop.psnr_drop_db)
    return abs(drops[0] - drops[1])
