"""``executorch-int8``: quantise by the plan, and check the stability of its calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...quantize.ptq.pt2e import quantised_module
from ..graph import ExportSpec, Graph
from ..quality_gate import calibration_stability
from ..verify import run_reference

if TYPE_CHECKING:
    from torch import nn

    from ...quantize.pipeline import CalibrationStability
    from ...quantize.quality_drop import Infer


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

    def of_half(half: int) -> Infer:
        net = quantised_module(graph.module, plan.recipe, images[half::2], plan.threads)
        return lambda image: run_reference(net, image)

    return network, calibration_stability(graph, spec, of_half)
