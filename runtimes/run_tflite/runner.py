"""LiteRT: runs ``.tflite`` artifacts on the CPU with XNNPACK."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..base import Runner
from ..io_format import from_io_format, to_io_format
from ..optional import available, require
from ..registry import runtime
from ..sdk_errors import suppress_native_stderr

_MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


@runtime("litert", formats=(".tflite",), module="ai_edge_litert", extra="litert")
class TfliteRunner(Runner):
    """One interpreter; operators that XNNPACK does not support run in LiteRT's own kernels.

    With uint8 input and output, `infer`'s floats are rounded to 8-bit levels.
    """

    @property
    def precision(self) -> str:
        """The weights' type as exported; XNNPACK widens fp16 weights on x86."""
        stored = self.manifest.target.rpartition("-")[2]
        return "fp16 weights, fp32 arithmetic" if stored == "fp16" else stored

    def _open(self) -> None:
        try:
            with suppress_native_stderr():
                self._interpreter = interpreters().Interpreter(
                    model_path=str(self.path), num_threads=self.threads
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{self.path}: LiteRT cannot load it ({error})") from error
        (input_details,) = self._interpreter.get_input_details()
        (output_details,) = self._interpreter.get_output_details()
        self._check_io(input_details)
        self._in, self._out = int(input_details["index"]), int(output_details["index"])

    def _check_io(self, found: dict[str, Any]) -> None:
        wanted = self.manifest.input
        shape = tuple(int(side) for side in np.asarray(found["shape"]))
        kind = np.dtype(found["dtype"]).name
        if (found["name"], shape, kind) != (wanted.name, wanted.shape, wanted.dtype):
            raise ValueError(
                f"{self.path}: input {found['name']} {list(shape)} {kind}, its manifest says "
                f"{wanted.name} {list(wanted.shape)} {wanted.dtype}"
            )

    def _infer(self, image: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._in, to_io_format(image, self.manifest.input))
        self._interpreter.invoke()
        return from_io_format(self._interpreter.get_tensor(self._out), self.manifest.output)

    def _close(self) -> None:
        del self._interpreter


def interpreters() -> ModuleType:
    """The module with ``Interpreter``: LiteRT's, or the older tflite_runtime's.

    Raises:
        MissingDependencyError: neither is installed.
    """
    module = next((name for name in _MODULES if available(name)), _MODULES[0])
    return require(module, extra="litert")
