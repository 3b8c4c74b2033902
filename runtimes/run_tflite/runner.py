"""LiteRT: runs ``.tflite`` artifacts on the CPU by way of XNNPACK."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..artifact import TensorSpec
from ..base import Runner
from ..optional import available, require
from ..registry import runtime
from ..sdk_errors import native_silence

_MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


@runtime("litert", formats=(".tflite",), module="ai_edge_litert", extra="tflite")
class TfliteRunner(Runner):
    """One interpreter; what LiteRT's XNNPACK delegate does not take runs in its own kernels.

    Image input and output (uint8) round `infer`'s floats to 8-bit levels on the way in and out.
    """

    @property
    def precision(self) -> str:
        """The weights' type as exported; XNNPACK widens fp16 weights on x86."""
        stored = self.manifest.target.rpartition("-")[2]
        return "fp16 weights, fp32 arithmetic" if stored == "fp16" else stored

    def _open(self) -> None:
        try:
            with native_silence():
                self._interpreter = interpreters().Interpreter(
                    model_path=str(self.path), num_threads=self.threads
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path}: LiteRT cannot load it ({error})") from error
        (taken,) = self._interpreter.get_input_details()
        (given,) = self._interpreter.get_output_details()
        self._check_io_format(taken)
        self._in, self._out = int(taken["index"]), int(given["index"])

    def _check_io_format(self, found: dict[str, Any]) -> None:
        wanted = self.manifest.input
        shape = tuple(int(side) for side in np.asarray(found["shape"]))
        kind = np.dtype(found["dtype"]).name
        if (found["name"], shape, kind) != (wanted.name, wanted.shape, wanted.dtype):
            raise ValueError(
                f"{self.path}: takes {found['name']} {list(shape)} {kind}, its manifest says "
                f"{wanted.name} {list(wanted.shape)} {wanted.dtype}"
            )

    def _infer(self, image: np.ndarray) -> np.ndarray:
        taken, given = self.manifest.input, self.manifest.output
        self._interpreter.set_tensor(self._in, to_io_format(image, taken))
        self._interpreter.invoke()
        return from_io_format(self._interpreter.get_tensor(self._out), given)

    def _close(self) -> None:
        del self._interpreter


def to_io_format(image: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """float32 (1, 3, H, W) in [-1, 1] -> the artifact's layout, as it is or in uint8 levels."""
    if spec.layout == "NHWC":
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    if spec.dtype == "float32":
        return image
    return np.rint((image + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def from_io_format(result: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The artifact's answer -> float32 (1, 3, H, W) in [-1, 1]."""
    if spec.layout == "NHWC":
        result = result.transpose(0, 3, 1, 2)
    if spec.dtype == "float32":
        return np.ascontiguousarray(result)
    return np.ascontiguousarray(result.astype(np.float32) / 127.5 - 1.0)


def interpreters() -> ModuleType:
    """The module with ``Interpreter``: LiteRT's, or the older tflite_runtime's where that is.

    Raises:
        MissingDependencyError: neither is installed.
    """
    module = next((name for name in _MODULES if available(name)), _MODULES[0])
    return require(module, extra="tflite")
