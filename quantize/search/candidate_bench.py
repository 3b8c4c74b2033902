"""Candidate bench: quantises the graph of a float artifact by recipes, and times the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...models.network.registry import stored_network_key
from ...runtimes.artifact import Manifest, read_manifest
from ...runtimes.optional import require
from ...runtimes.pictures.sample_inputs import SampleInput, load_sample_inputs
from ..calibration import CalibrationSet
from ..pipeline import QuantisedOnnx, QuantPlan, ort_infer, run_plan
from ..quality_drop import Infer
from ..recipe import Recipe

if TYPE_CHECKING:
    from onnx import ModelProto

RUNTIMES = ("onnxruntime", "openvino")
_WARMUP = 2


@dataclass(frozen=True)
class CandidateBench:
    """What all candidates of one float artifact share.

    Attributes:
        manifest: Of the float artifact.
        source: Its graph.
        samples: Sample pictures at its size.
        calibration: Calibration pictures.
        runtime: Runtime that runs and times candidates; one of `RUNTIMES`.
        threads: CPU threads.
        log: Called with a line at each step.
    """

    manifest: Manifest
    source: ModelProto
    samples: Sequence[SampleInput]
    calibration: CalibrationSet
    runtime: str
    threads: int
    log: Callable[[str], None]

    @property
    def network(self) -> str:
        """What a recipe that is found here is stored under: see `Checkpoint.key`."""
        of = self.manifest
        return stored_network_key(of.backbone, of.network, of.widths)

    def quantise(self, recipe: Recipe) -> QuantisedOnnx:
        """Calibrate and quantise the graph by a recipe."""
        plan = QuantPlan(recipe, self.calibration, threads=self.threads, log=self.log)
        return run_plan(self.source, plan)

    def infer(self, model: ModelProto) -> Infer:
        """The candidate as a function that runs in the bench's runtime."""
        if self.runtime == "openvino":
            return _openvino_infer(model, self.threads)
        return ort_infer(model, self.threads)


def open_bench(
    path: Path,
    calibration: Callable[[tuple[int, int]], CalibrationSet],
    *,
    runtime: str,
    threads: int,
    log: Callable[[str], None],
) -> CandidateBench:
    """Open a float ONNX artifact as a bench.

    Raises:
        FileNotFoundError, ValueError: not an onnx-fp32 artifact, or not of a fixed size.
    """
    manifest = read_manifest(path)
    size = manifest.input.size
    if manifest.target != "onnx-fp32" or size is None or manifest.norm != "frozen":
        raise ValueError(
            f"{path}: candidates are made from an onnx-fp32 artifact of a fixed size with frozen "
            "norms; make one with deblur-export --target onnx-fp32"
        )
    onnx = require("onnx", extra="export-onnx")
    samples = load_sample_inputs(size, manifest.size_multiple, dynamic=False)
    return CandidateBench(
        manifest, onnx.load(path), samples, calibration(size), runtime, threads, log
    )


def interleaved_times(infers: Sequence[Infer], image: np.ndarray, rounds: int) -> list[float]:
    """Median milliseconds of each, in interleaved rounds, so that drift affects all alike."""
    taken: list[list[float]] = [[] for _ in infers]
    for number in range(_WARMUP + rounds):
        for infer, times in zip(infers, taken, strict=True):
            infer(image)  # untimed: the previous one left its data in the caches and its threads
            start = time.perf_counter()
            infer(image)
            if number >= _WARMUP:
                times.append((time.perf_counter() - start) * 1e3)
    return [float(np.median(times)) for times in taken]


def _openvino_infer(model: ModelProto, threads: int) -> Infer:
    openvino = require("openvino", extra="export-openvino")
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString(), b""),
        "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads},
    )
    request = compiled.create_infer_request()
    return lambda image: np.array(next(iter(request.infer({0: image}).values())))
