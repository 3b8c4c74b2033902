"""OpenVINO: runs ``.openvino`` folders (model.xml and model.bin, or model.onnx) on the CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .base import Runner
from .machine import cores_are_shared
from .optional import require
from .registry import runtime
from .sdk_errors import translate_sdk_error

if TYPE_CHECKING:
    from openvino import InferRequest


@runtime("openvino", formats=(".openvino",), module="openvino", extra="openvino")
class OpenvinoRunner(Runner):
    """One compiled model, one request and one output buffer, which `infer` returns each time.

    ``threads`` is what OpenVINO uses: at most the number of cores.
    """

    reuses_output: ClassVar[bool] = True
    hints: ClassVar[tuple[str, ...]] = ("latency", "throughput")

    @property
    def precision(self) -> str:
        """The precision that OpenVINO reports, not the requested one."""
        stored = self.manifest.target.rpartition("-")[2]
        got = {"f32": "fp32", "f16": "fp16"}.get(self._precision, self._precision)
        if stored == "int8":
            return f"int8, {got} where the recipe keeps float"
        return stored if got == stored else f"{stored} weights, {got} arithmetic"

    @property
    def in_flight(self) -> int:
        """See `Runner.in_flight`; what OpenVINO calls optimal for the hint ``throughput``."""
        if self.hint != "throughput":
            return 1
        return int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def _model_file(self) -> Path:
        """model.xml, or model.onnx if the folder has that instead."""
        quantised = self.path / "model.onnx"
        return quantised if quantised.exists() else self.path / "model.xml"

    def _open(self) -> None:
        openvino = require("openvino", extra="openvino")
        core = openvino.Core()
        wants_half = self.manifest.target.endswith(("-fp16", "-int8"))
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "PERFORMANCE_HINT": self.hint.upper(),
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "bf16" if wants_half and has_bf16 else "f32",
        }
        if cores_are_shared():
            # Each process would tie its threads to the same first cores: two of one thread each
            # then infer half as many pictures a second as one of two threads.
            settings["ENABLE_CPU_PINNING"] = False
        try:
            model = core.read_model(str(self._model_file()))
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
            # An array of our own: a request frees its memory when the size changes, although a
            # caller may still hold the result.
            tensor = require("openvino", extra="openvino").Tensor
            self._output = np.empty(image.shape, np.float32)
            self._request.set_output_tensor(0, tensor(self._output, shared_memory=True))
        # Shared both ways: the request reads our array and writes ours, without a copy.
        self._request.infer({0: image}, share_inputs=True, share_outputs=True)
        return self._output

    def infer_many(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Runner.infer_many`."""
        if self.hint != "throughput":
            yield from super().infer_many(images)
            return
        # A ring of requests, awaited in order. Not AsyncInferQueue: its callbacks need the
        # interpreter while it waits for them, and it locks up when a caller stops early.
        idle = [self._compiled.create_infer_request() for _ in range(self.in_flight)]
        busy: deque[tuple[InferRequest, np.ndarray]] = deque()
        try:
            for image in images:
                self._check_input(image)
                if not idle:
                    request, earlier = busy.popleft()
                    idle.append(request)
                    yield self._answer(request, earlier)
                request = idle.pop()
                request.start_async({0: image}, share_inputs=True)
                busy.append((request, image))
            while busy:
                yield self._answer(*busy.popleft())
        finally:
            for request, _ in busy:
                request.wait()  # it still reads the caller's array

    def _answer(self, request: InferRequest, image: np.ndarray) -> np.ndarray:
        try:
            request.wait()
        except RuntimeError as error:
            raise (translate_sdk_error(error, str(self.path)) or error) from error
        result = np.array(request.get_output_tensor(0).data)
        self._check_output(result, image)
        return result

    def _close(self) -> None:
        del self._request, self._compiled, self._output
