"""OpenVINO: runs ``.openvino`` folders (model.xml and model.bin) on the CPU."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .base import Runner
from .optional import require
from .registry import runtime


@runtime("openvino", formats=(".openvino",), module="openvino", extra="openvino")
class OpenvinoRunner(Runner):
    """One compiled model, one request and one output buffer, which `infer` hands out each time.

    ``threads`` is what OpenVINO took: it never takes more than there are cores.
    """

    reuses_output: ClassVar[bool] = True

    @property
    def precision(self) -> str:
        """What OpenVINO says it computes in, not what was asked for."""
        stored = self.manifest.target.rpartition("-")[2]
        got = {"f32": "fp32", "f16": "fp16"}.get(self._precision, self._precision)
        return stored if got == stored else f"{stored} weights, {got} arithmetic"

    def _open(self) -> None:
        openvino = require("openvino", extra="openvino")
        core = openvino.Core()
        wants_half = self.manifest.target.endswith("-fp16")
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "bf16" if wants_half and has_bf16 else "f32",
        }
        try:
            model = core.read_model(str(self.path / "model.xml"))
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise ValueError(f"{self.path}: openvino cannot load it ({error})") from error
        found = [port.get_any_name() for port in self._compiled.inputs]
        if found != [self.manifest.input.name]:
            raise ValueError(
                f"{self.path}: inputs {found}, its manifest says [{self.manifest.input.name!r}]"
            )
        got = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        self._precision = str(got.get_type_name())
        self.threads = int(self._compiled.get_property("INFERENCE_NUM_THREADS"))
        self._request = self._compiled.create_infer_request()
        self._output = np.empty(0, np.float32)

    def _infer(self, image: np.ndarray) -> np.ndarray:
        if self._output.shape != image.shape:
            # Memory of ours: a request frees its own when the size changes, under any result that
            # a caller still holds.
            tensor = require("openvino", extra="openvino").Tensor
            self._output = np.empty(image.shape, np.float32)
            self._request.set_output_tensor(0, tensor(self._output, shared_memory=True))
        # Shared both ways: the request reads our array and writes ours, without a copy.
        self._request.infer({0: image}, share_inputs=True, share_outputs=True)
        return self._output

    def _close(self) -> None:
        del self._request, self._compiled, self._output
