"""One export's quantisation from beginning to end: calibrate, quantise, check that it is stable."""

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
from .ptq.ranges import TensorStats, Watcher
from .quality_drop import Infer, float_outputs, measure_drop
from .recipe import Recipe

if TYPE_CHECKING:
    from onnx import ModelProto

LogStep = Callable[[str], None]
MAX_DROP_DB = 0.1
UNSTABLE_DB = 0.05


@dataclass(frozen=True)
class QuantPlan:
    """What to do.

    Attributes:
        recipe: How.
        calibration: On which pictures.
        max_drop_db: Highest allowed loss of PSNR against sharp pictures.
        threads: CPU threads while calibrating.
        log: Called with a line at each step.
    """

    recipe: Recipe
    calibration: CalibrationSet
    max_drop_db: float = MAX_DROP_DB
    threads: int = 1
    log: LogStep = lambda _: None


@dataclass(frozen=True)
class Quantised:
    """What came out.

    Attributes:
        model: With Q/DQ pairs.
        stats: Both halves of the calibration together.
        source: The float model behind it (equalised if the recipe says so).
        halves: The two halves' statistics, for the stability check; equal ones if there was
            only one picture.
    """

    model: ModelProto
    stats: Mapping[str, TensorStats]
    source: ModelProto
    halves: tuple[Mapping[str, TensorStats], Mapping[str, TensorStats]] | None


@dataclass(frozen=True)
class Settled:
    """What a quantiser hands over that works on no ONNX graph.

    ``stability_db`` is as in `stability_db`; None if there were no two halves to compare.
    """

    stability_db: float | None


def run_plan(model: ModelProto, plan: QuantPlan) -> Quantised:
    """Calibrate and quantise a float model.

    Raises:
        ValueError: as `ranges.collect` and `ptq_onnx.quantise`.
    """
    log = plan.log
    halves = _calibrated(model, plan)
    stats = merged(*halves) if halves else {}
    if plan.recipe.equalise and halves:
        model, count = equalise(model, stats)
        log(f"equalised {count} pairs of layers; calibrating again")
        halves = _calibrated(model, plan)
        stats = merged(*halves) if halves else {}
    log(f"quantising: {plan.recipe.name}")
    return Quantised(quantise(model, stats, plan.recipe), stats, model, halves)


def _calibrated(
    model: ModelProto, plan: QuantPlan
) -> tuple[Mapping[str, TensorStats], Mapping[str, TensorStats]] | None:
    """The statistics of both halves; None where the recipe needs none."""
    if not plan.recipe.needs_pictures:
        return None
    crops, watcher = plan.calibration, Watcher(model, plan.threads)
    if len(crops.crops) < 2:
        stats = _watch(watcher, crops, plan)
        return stats, stats
    first, second = crops.halves()
    return _watch(watcher, first, plan), _watch(watcher, second, plan)


def _watch(watcher: Watcher, crops: CalibrationSet, plan: QuantPlan) -> Mapping[str, TensorStats]:
    def progress(done: int, count: int) -> None:
        plan.log(f"calibrating on {crops.origin}: {done} of {count}")

    return watcher.collect(crops.images(), count=len(crops.crops), progress=progress)


def merged(
    first: Mapping[str, TensorStats], second: Mapping[str, TensorStats]
) -> dict[str, TensorStats]:
    """The statistics of both; halves weigh the same."""
    return {
        name: TensorStats(
            min(a.low, b.low),
            max(a.high, b.high),
            np.concatenate([a.values, b.values]),
            (a.means + b.means) / 2,
        )
        for (name, a), b in zip(first.items(), second.values(), strict=True)
    }


def stability_db(done: Quantised, plan: QuantPlan, samples: list[SampleInput]) -> float | None:
    """How far the two halves' networks are apart in PSNR against sharp pictures, dB.

    None if there were no two halves to compare.
    """
    if done.halves is None or len(plan.calibration.crops) < 2:
        return None
    floats = float_outputs(ort_infer(done.source, plan.threads), samples)
    drops: list[float] = []
    for stats in done.halves:
        infer = ort_infer(quantise(done.source, stats, plan.recipe), plan.threads)
        drops.append(measure_drop(infer, floats, samples).psnr_drop_db)
    return abs(drops[0] - drops[1])


def ort_infer(model: ModelProto, threads: int) -> Infer:
    """The model as a function, in onnxruntime on the CPU."""
    ort = require("onnxruntime", extra="onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = model.graph.input[0].name
    return lambda image: session.run(None, {name: image})[0]
