"""ONNX Runtime: runs ``.onnx`` artifacts on CPU or CUDA."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .base import Runner
from .optional import MissingDependencyError, require
from .registry import runtime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@runtime("onnxruntime", formats=(".onnx",), module="onnxruntime", extra="onnxruntime")
class OrtRunner(Runner):
    """One session; threads and provider are fixed when it opens, so two timings compare."""

    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    @property
    def precision(self) -> str:
        """The weights' type as exported; ONNX Runtime's CPU kernels compute fp16 graphs in fp32."""
        stored = self.manifest.target.rpartition("-")[2]
        if stored == "fp16" and self.device == "cpu":
            return "fp16 weights, fp32 arithmetic"
        return stored

    def _open(self) -> None:
        ort = require("onnxruntime", extra="onnxruntime")
        provider = _PROVIDERS[self.device]
        if provider not in ort.get_available_providers():
            raise MissingDependencyError(
                f"this onnxruntime has no {provider}; install it with: "
                "pip uninstall onnxruntime && pip install 'edgedeblur[onnxruntime-gpu]', on a "
                "machine with an NVIDIA driver"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only; warnings about unused nodes do not help users
        if self.manifest.input.size is None:
            # A memory plan for a known size allocates a second block beside the first run's: 4648
            # MiB instead of 2799 MiB for DSC at 2176x3840, and it is no faster.
            options.enable_mem_pattern = False
        try:
            self._session = ort.InferenceSession(self._model(), options, providers=[provider])
        except Exception as error:
            raise ValueError(f"{self.path}: onnxruntime cannot load it ({error})") from error
        if provider not in self._session.get_providers():
            raise MissingDependencyError(
                f"onnxruntime could not start {provider}; check nvidia-smi and that the CUDA and "
                "cuDNN versions are those onnxruntime-gpu was built for"
            )
        self._name = self.manifest.input.name
        found = [i.name for i in self._session.get_inputs()]
        if found != [self._name]:
            raise ValueError(f"{self.path}: inputs {found}, its manifest says [{self._name!r}]")

    def _model(self) -> str | bytes:
        """What onnxruntime loads: a path, or the file's bytes."""
        return str(self.path)

    def _infer(self, image: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: image})[0]

    def _close(self) -> None:
        del self._session
