"""``coreml-int8`` from beginning to end: watch the float16 program, quantise, see that it holds."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.network.generator import SIZE_MULTIPLE
from ...quantize.pipeline import QuantPlan, Settled, merged
from ...quantize.ptq.coreml_program import (
    Layer,
    Stats,
    check_recipe,
    convolutions,
    corrected_biases,
    load_float,
    packed_weights,
    quantise,
    watch,
    with_biases,
)
from ...quantize.quality_drop import Infer, float_outputs, measure_drop
from ...runtimes.pictures.sample_inputs import load_sample_inputs
from ...runtimes.run_coreml.interpreter import MilProgram, quiet
from ...runtimes.run_coreml.runner import from_pixels, to_pixels
from ..graph import ExportSpec, Graph
from ..verify import PARITY_PICTURES, run_reference
from .model import takes_pictures, to_model

if TYPE_CHECKING:
    from torch import Tensor

    from ...quantize.calibration import CalibrationSet


def quantised_model(graph: Graph, spec: ExportSpec) -> tuple[Any, int, Settled]:
    """Convert and quantise as ``spec.quantise`` says.

    Returns:
        The model (``ct.models.MLModel``), how many of its weights are 8 bits wide, and what the
        calibration's two halves said.

    Raises:
        ValueError: no plan, live norms, or a recipe that Core ML cannot have.
    """
    plan = spec.quantise
    if plan is None:
        raise ValueError(f"{spec.target} needs calibration pictures")
    if graph.norm != "frozen":
        raise ValueError(f"{spec.target} needs frozen norms; use --norm frozen")
    recipe = plan.recipe
    check_recipe(recipe, spec.options["ios"])
    if recipe.correct_bias:
        graph = dataclasses.replace(graph, module=with_biases(graph.module))
    with quiet():
        model = to_model(graph, spec)
    layers = convolutions(model, graph.module)
    halves = _calibrated(model, layers, spec, plan) if recipe.needs_pictures else None
    stats = merged(*halves) if halves else None
    if recipe.correct_bias and stats is not None:
        module = corrected_biases(graph.module, layers, stats, recipe)
        with quiet():
            model = to_model(dataclasses.replace(graph, module=module), spec)
    plan.log(f"quantising: {recipe.name}")
    with quiet():
        done = quantise(model, layers, recipe, stats)
    settled = Settled(_stability_db(graph, model, layers, halves, spec, plan))
    return done, len(packed_weights(layers, recipe)), settled


def _calibrated(
    model: Any,  # noqa: ANN401 - coremltools has no types
    layers: dict[str, Layer],
    spec: ExportSpec,
    plan: QuantPlan,
) -> tuple[Stats, Stats]:
    """What the program's activations do on both halves of the pictures; equal ones for one."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        program = load_float(model, Path(folder))
    crops = plan.calibration
    parts = crops.halves() if len(crops.crops) > 1 else (crops,)
    seen = [
        watch(program, _images(part, spec), layers, count=len(part.crops), log=plan.log)
        for part in parts
    ]
    return seen[0], seen[-1]


def _images(crops: CalibrationSet, spec: ExportSpec) -> Iterator[Tensor]:
    """The pictures as the program takes them."""
    for image in crops.images():
        yield _taken(image, spec)


def _taken(image: np.ndarray, spec: ExportSpec) -> Tensor:
    import torch

    return torch.from_numpy(to_pixels(image).astype(np.float32) if takes_pictures(spec) else image)


def _stability_db(
    graph: Graph,
    model: Any,  # noqa: ANN401
    layers: dict[str, Layer],
    halves: tuple[Stats, Stats] | None,
    spec: ExportSpec,
    plan: QuantPlan,
) -> float | None:
    """How far the two halves' programs are apart in PSNR against sharp pictures, dB.

    None where no pictures set any ranges, or there was only one.
    """
    no_ranges = plan.recipe.scheme.activation_bits is None
    if halves is None or no_ranges or len(plan.calibration.crops) < 2:
        return None
    plan.log("comparing what the two halves of the pictures gave")
    samples = load_sample_inputs(spec.size, SIZE_MULTIPLE, dynamic=False, count=PARITY_PICTURES)
    floats = float_outputs(lambda image: run_reference(graph.reference, image), samples)
    drops: list[float] = []
    for stats in halves:
        with tempfile.TemporaryDirectory() as folder, quiet():
            program = load_float(quantise(model, layers, plan.recipe, stats), Path(folder))
        drops.append(measure_drop(_inferring(program, spec), floats, samples).psnr_drop_db)
    return abs(drops[0] - drops[1])


def _inferring(program: MilProgram, spec: ExportSpec) -> Infer:
    """The program as a function on float32 (1, 3, H, W) in [-1, 1]."""

    def infer(image: np.ndarray) -> np.ndarray:
        values = {program.inputs[0]: _taken(image, spec)}
        result = program.run(values)[program.outputs[0]].float().numpy()
        return from_pixels(result) if takes_pictures(spec) else result

    return infer
