"""Core ML: runs ``.mlpackage`` folders, on a Mac with Core ML, elsewhere with an interpreter.

Apple's runtime exists on Apple's systems only. Elsewhere the saved program is interpreted operation
by operation (`interpreter`): results are labelled ``emulated``, and times say nothing about any
device.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..artifact import Manifest
from ..base import Runner
from ..optional import require
from ..registry import runtime
from .interpreter import MilProgram, coremltools, quiet

if TYPE_CHECKING:
    from pathlib import Path

HAS_CORE_ML = sys.platform == "darwin"
# `--compute-units` -> coremltools.ComputeUnit
COMPUTE_UNITS = {
    "all": "ALL",
    "cpu-and-ne": "CPU_AND_NE",
    "cpu-and-gpu": "CPU_AND_GPU",
    "cpu": "CPU_ONLY",
}


@runtime("coreml", formats=(".mlpackage",), module="coremltools", extra="coreml")
class CoremlRunner(Runner):
    """One loaded model; on a Mac with the compute units that the manifest names.

    Packages with picture input and output read and write 8-bit pixels, as in an app.
    """

    emulated: ClassVar[bool] = not HAS_CORE_ML

    @property
    def precision(self) -> str:
        """The program's types, and the compute units or ``emulated``."""
        stored = self.manifest.target.rpartition("-")[2]
        kind = {"fp16": "fp16", "int8": "int8 weights, fp16"}.get(stored, stored)
        used = self.manifest.calibration
        if used is not None and not used.recipe.startswith("weight_only"):
            kind = "int8 weights and activations, the rest fp16"
        if self.emulated:
            return f"{kind}, emulated"
        return f"{kind}, compute units {self.manifest.options.get('compute_units', 'all')}"

    def _open(self) -> None:
        self._pictures = self.manifest.input.dtype == "uint8"
        self._model = (
            _InterpretedModel(self.path, self.threads)
            if self.emulated
            else _PredictorModel(self.path, self.manifest)
        )
        wanted = ([self.manifest.input.name], [self.manifest.output.name])
        found = (self._model.inputs, self._model.outputs)
        if found != wanted:
            raise ValueError(
                f"{self.path}: inputs {found[0]} and outputs {found[1]}, its manifest says "
                f"{wanted[0]} and {wanted[1]}"
            )

    def _infer(self, image: np.ndarray) -> np.ndarray:
        if not self._pictures:
            return self._model.tensors(image)
        return from_pixels(self._model.pictures(to_pixels(image)))

    def _close(self) -> None:
        del self._model


def to_pixels(image: np.ndarray) -> np.ndarray:
    """Float (1, 3, H, W) in [-1, 1] -> uint8 of the same shape, rounded to nearest."""
    return np.rint((image + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def from_pixels(pixels: np.ndarray) -> np.ndarray:
    """Values 0..255 -> float32 in [-1, 1] of the same shape."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


class _InterpretedModel:
    """The saved program, run by `MilProgram`."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        require("torch", extra="torch").set_num_threads(threads)
        self._program = MilProgram(path)
        self.inputs = list(self._program.inputs)
        self.outputs = list(self._program.outputs)

    def tensors(self, image: np.ndarray) -> np.ndarray:
        """float32 (1, 3, H, W) in [-1, 1] -> the same."""
        values = {self.inputs[0]: require("torch", extra="torch").from_numpy(image)}
        return self._program.run(values)[self.outputs[0]].float().numpy()

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (1, 3, H, W) -> the same, as a pixel buffer holds it.

        Raises:
            ValueError: the output is not whole numbers in 0..255: its range or rounding is wrong.
        """
        result = self.tensors(pixels.astype(np.float32))
        if not np.isfinite(result).all():
            raise ValueError(
                f"{self._path}: the output holds NaN or infinity; do not use this file"
            )
        if (result != np.rint(result)).any() or result.min() < 0 or result.max() > 255:
            raise ValueError(
                f"{self._path}: the output picture holds values that are no pixels (from "
                f"{result.min():.4g} to {result.max():.4g}); they must be whole and within 0..255"
            )
        return result.astype(np.uint8)


class _PredictorModel:
    """The model, run by Core ML's own predictor."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        tools = coremltools()
        units = COMPUTE_UNITS[manifest.options.get("compute_units", "all")]
        with quiet():
            self._model: Any = tools.models.MLModel(
                str(path), compute_units=tools.ComputeUnit[units]
            )
        description = self._model.get_spec().description
        self.inputs = [feature.name for feature in description.input]
        self.outputs = [feature.name for feature in description.output]

    def tensors(self, image: np.ndarray) -> np.ndarray:
        """float32 (1, 3, H, W) in [-1, 1] -> the same."""
        result = self._model.predict({self.inputs[0]: image})[self.outputs[0]]
        return np.ascontiguousarray(result, dtype=np.float32)

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (1, 3, H, W) -> the same."""
        image = require("PIL.Image").fromarray(np.ascontiguousarray(pixels[0].transpose(1, 2, 0)))
        result = self._model.predict({self.inputs[0]: image})[self.outputs[0]]
        return np.asarray(result.convert("RGB")).transpose(2, 0, 1)[None]
