"""A Python model that infers with a runner of ours, for formats that Triton has no backend for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..machine import share_cores
from ..registry import open_runner
from .model_config import ModelConfig


class NetworkModel:
    """Triton's interface: float32 (1, 3, H, W) in [-1, 1] in and out, as `Runner.infer`."""

    def initialize(self, arguments: Mapping[str, str]) -> None:
        """Open the artifact beside ``model.py``."""
        self._utils: Any = importlib.import_module("triton_python_backend_utils")
        config = ModelConfig(arguments)
        self._output = config.output()
        self._input: str = config.body["input"][0]["name"]
        share_cores()
        self._runner = open_runner(
            config.folder / config.parameter("artifact"), threads=int(config.parameter("threads"))
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; a wrong one gets an error and stops no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:  # noqa: ANN401 - Triton's classes
        tensor = self._utils.get_input_tensor_by_name(request, self._input)
        try:
            result = self._runner.infer(tensor.as_numpy())
        except (ValueError, TypeError, MemoryError) as error:
            # Not the text: it names the artifact's path.
            return self._utils.InferenceResponse(
                error=self._utils.TritonError(f"the input does not fit ({type(error).__name__})")
            )
        return self._utils.InferenceResponse([self._utils.Tensor(self._output, result)])

    def finalize(self) -> None:
        """Release the artifact."""
        self._runner.close()
