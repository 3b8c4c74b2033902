"""The quantisation pipeline of an export: calibrate, quantise, check stability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..runtimes.optional import require
from ..runtimes.pictures.sample_inputs import SampleInput
from .calibration import CalibrationSet
from .ptq.equalise import equalise
from .ptq.onnx_graph import quantise
from .ptq.ranges import StatsCollector, TensorStats
from .quality_drop import Infer, float_outputs, measure_drop
from .recipe import Recipe

if TYPE_CHECKING:
    from onnx import ModelProto

LogStep = Callable[[str], None]
MAX_DROP_DB = 0.1
UNSTABLE_DB = 0.05


@dataclass(frozen=True)
class QuantPlan:
    """A quantisation plan.

    Attributes:
        recipe: The recipe.
        calibration: The calibration pictures.
        max_drop_db: Highest allowed loss of PSNR against sharp pictures, in dB.
        threads: CPU threads for calibration.
        log: Called with a line at each step.
    """

    recipe: Recipe
    calibration: CalibrationSet
    max_drop_db: float = MAX_DROP_DB
    threads: int = 1
    log: LogStep = lambda _: None


@dataclass(frozen=True)
class QuantisedOnnx:
    """A quantised ONNX model, with its float model and calibration statistics.

    Attributes:
        model: With Q/DQ pairs.
        stats: Statistics over all calibration pictures.
        source: The float model (equalised if the recipe asks for it).
        halves: Statistics of the two halves, for the stability check; equal if there was only one
            picture; None if the recipe needs none.
    """

    model: ModelProto
    stats: Mapping[str, TensorStats]
    source: ModelProto
    halves: tuple[Mapping[str, TensorStats], Mapping[str, TensorStats]] | None


@dataclass(frozen=True)
class CalibrationStability:
    """The result of a quantiser that does not work on an ONNX graph: stability only.

    ``stability_db`` is as in `stability_db`; None if there were no two halves to compare.
    """

    stability_db: float | None


def run_plan(model: ModelProto, plan: QuantPlan) -> QuantisedOnnx:
    """Calibrate and quantise a float model.

    Raises:
        ValueError: as `ranges.collect` and `onnx_graph.quantise`.
    """
    log = plan.log
    halves = _calibrate_halves(model, plan)
    stats = merge_halves(*halves) if halves else {}
    if plan.recipe.equalise and halves:
        model, count = equalise(model, stats)
        log(f"equalised {count} pairs of layers; calibrating again")
        halves = _calibrate_halves(model, plan)
        stats = merge_halves(*halves) if halves else {}
    log(f"quantising: {plan.recipe.name}")
    return QuantisedOnnx(quantise(model, stats, plan.recipe), stats, model, halves)


def _calibrate_halves(
    model: ModelProto, plan: QuantPlan
) -> tuple[Mapping[str, TensorStats], Mapping[str, TensorStats]] | None:
    """Statistics of both halves of the pictures; None if the recipe needs none."""
    if not plan.recipe.needs_pictures:
        return None
    crops, collector = plan.calibration, StatsCollector(model, plan.threads)
    if len(crops.crops) < 2:
        stats = _collect_stats(collector, crops, plan)
        return stats, stats
    first, second = crops.halves()
    return _collect_stats(collector, first, plan), _collect_stats(collector, second, plan)


def _collect_stats(
    collector: StatsCollector, crops: CalibrationSet, plan: QuantPlan
) -> Mapping[str, TensorStats]:
    def progress(done: int, count: int) -> None:
        plan.log(f"calibrating on {crops.origin}: {done} of {count}")

    return collector.collect(crops.images(), count=len(crops.crops), progress=progress)


def merge_halves(
    first: Mapping[str, TensorStats], second: Mapping[str, TensorStats]
) -> dict[str, TensorStats]:
    """Merge the statistics of two halves, with equal weight."""
    return {
        name: TensorStats(
            min(a.low, b.low),
            max(a.high, b.high),
            np.concatenate([a.values, b.values]),
            (a.means + b.means) / 2,
        )
        for (name, a), b in zip(first.items(), second.values(), strict=True)
    }


def stability_db(
    quantised: QuantisedOnnx, plan: QuantPlan, samples: list[SampleInput]
) -> float | None:
    """Difference between the halves' networks in PSNR against sharp pictures, dB.

    None if there were no two halves to compare.
    """
    if quantised.halves is None or len(plan.calibration.crops) < 2:
        return None
    floats = float_outputs(ort_infer(quantised.source, plan.threads), samples)
    drops: list[float] = []
    for stats in quantised.halves:
        infer = ort_infer(quantise(quantised.source, stats, plan.recipe), plan.threads)
        drops.append(measure_drop(infer, floats, samples).psnr_drop_db)
    return abs(drops[0] - drops[1])


def ort_infer(model: ModelProto, threads: int) -> Infer:
    """The model as a function that runs in onnxruntime on the CPU."""
    ort = require("onnxruntime", extra="export-onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = model.graph.input[0].name
    return lambda image: session.run(None, {name: image})[0]
