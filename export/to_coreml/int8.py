"""``coreml-int8``: calibrate the float16 program, quantise it, and check its stability."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...quantize.pipeline import CalibrationStability, QuantPlan, merge_halves
from ...quantize.ptq.coreml_layers import Layer, check_recipe, convolutions, int8_layers
from ...quantize.ptq.coreml_program import quantise, with_biases, with_corrected_biases
from ...quantize.ptq.coreml_stats import Stats, collect_stats, load_float
from ...runtimes.run_coreml.interpreter import MilProgram, quiet
from ...runtimes.run_coreml.runner import from_pixels, to_pixels
from ..graph import ExportSpec, Graph
from ..quality_gate import calibration_stability
from .model import has_image_io, to_model

if TYPE_CHECKING:
    from torch import Tensor

    from ...quantize.calibration import CalibrationSet
    from ...quantize.quality_drop import Infer


def quantised_model(graph: Graph, spec: ExportSpec) -> tuple[Any, int, CalibrationStability]:
    """Convert and quantise by the plan in ``spec.quantise``.

    Returns:
        The model (``ct.models.MLModel``), its number of 8-bit weights, and the stability between
        the two halves of the calibration pictures.

    Raises:
        ValueError: no plan, live norms, or a recipe that Core ML does not support.
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
    halves = _calibrate_halves(model, layers, spec, plan) if recipe.needs_pictures else None
    stats = merge_halves(*halves) if halves else None
    if recipe.correct_bias and stats is not None:
        module = with_corrected_biases(graph.module, layers, stats, recipe)
        with quiet():
            model = to_model(dataclasses.replace(graph, module=module), spec)
    plan.log(f"quantising: {recipe.name}")
    with quiet():
        quantised = quantise(model, layers, recipe, stats)
    count = len(int8_layers(layers, recipe))
    if halves is None or recipe.scheme.activation_bits is None:
        return quantised, count, CalibrationStability(None)  # no ranges

    def of_half(half: int) -> Infer:
        with tempfile.TemporaryDirectory() as folder, quiet():
            program = load_float(quantise(model, layers, recipe, halves[half]), Path(folder))
        return _infer_function(program, spec)

    return quantised, count, calibration_stability(graph, spec, of_half)


def _calibrate_halves(
    model: Any,  # noqa: ANN401 - coremltools has no types
    layers: dict[str, Layer],
    spec: ExportSpec,
    plan: QuantPlan,
) -> tuple[Stats, Stats]:
    """Activation statistics on both halves of the pictures; equal if there is only one picture."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        program = load_float(model, Path(folder))
    crops = plan.calibration
    parts = crops.halves() if len(crops.crops) > 1 else (crops,)
    seen = [
        collect_stats(program, _images(part, spec), layers, count=len(part.crops), log=plan.log)
        for part in parts
    ]
    return seen[0], seen[-1]


def _images(crops: CalibrationSet, spec: ExportSpec) -> Iterator[Tensor]:
    """Calibration crops in the form of the program's input."""
    for image in crops.images():
        yield _program_input(image, spec)


def _program_input(image: np.ndarray, spec: ExportSpec) -> Tensor:
    import torch

    return torch.from_numpy(to_pixels(image).astype(np.float32) if has_image_io(spec) else image)


def _infer_function(program: MilProgram, spec: ExportSpec) -> Infer:
    """The program as a function on float32 (1, 3, H, W) in [-1, 1]."""

    def infer(image: np.ndarray) -> np.ndarray:
        values = {program.inputs[0]: _program_input(image, spec)}
        result = program.run(values)[program.outputs[0]].float().numpy()
        return from_pixels(result) if has_image_io(spec) else result

    return infer
