"""A Python model that takes encoded pictures of any size, and asks another model for the tiles.

An ensemble in Triton's own sense runs each step once a request; how many tiles a picture has is
known only once it is decoded. So this model sends its tiles to the network's model from within
(business logic scripting), where those of all requests meet in one dynamic batch.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..artifact import Manifest, TensorSpec
from ..base import Runner
from ..io_format import from_io_format, to_io_format
from ..pictures.tiling import TilingOptions
from ..service.answer import Worker
from ..service.settings import FORMAT_NAMES, Answer, Ask, Limits, Refusal, Settings
from .model_config import ModelConfig

PICTURE, FORMAT, QUALITY = "PICTURE", "FORMAT", "QUALITY"


class PicturesModel:
    """Triton's interface: ``PICTURE`` is a whole JPEG, PNG or WebP file, in and out."""

    def initialize(self, arguments: Mapping[str, str]) -> None:
        """Read the manifest and the limits; the network is another model."""
        self._utils: Any = importlib.import_module("triton_python_backend_utils")
        config = ModelConfig(arguments)
        limits = Limits(pixels=int(config.parameter("most_pixels")))
        settings = Settings(
            artifact=config.parameter("network"),
            quality=int(config.parameter("quality")),
            options=TilingOptions(),
            limits=limits,
        )
        runner = ModelRunner(
            config.parameter("network"),
            config.manifest(),
            utils=self._utils,
            as_floats=config.parameter("tensors") == "float",
        )
        self._worker = Worker(settings, runner)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request; one that is refused stops no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:  # noqa: ANN401 - Triton's classes
        utils = self._utils
        try:
            ask = _ask(self._value(request, FORMAT), self._value(request, QUALITY))
        except ValueError as error:
            return utils.InferenceResponse(error=utils.TritonError(str(error)))
        try:
            result = self._worker.answer(bytes(self._value(request, PICTURE)), ask)
        except Exception:  # noqa: BLE001 - Triton would send the traceback to the client
            utils.Logger.log_error(traceback.format_exc())
            told = utils.TritonError("the model failed; the server's log says why")
            return utils.InferenceResponse(error=told)
        if isinstance(result, Refusal):
            return utils.InferenceResponse(error=utils.TritonError(result.detail))
        return utils.InferenceResponse([utils.Tensor(PICTURE, _text_tensor(result))])

    def _value(self, request: Any, name: str) -> Any:  # noqa: ANN401 - bytes, a number, or None
        """The only element of an input; None where an optional one was left out."""
        tensor = self._utils.get_input_tensor_by_name(request, name)
        return None if tensor is None else tensor.as_numpy().reshape(-1)[0]


def _ask(kind: bytes | None, quality: int | None) -> Ask:
    """Raises ValueError for words and numbers that do not exist."""
    word = None if kind is None else kind.decode("utf-8", "replace").lower()
    if word is not None and word not in FORMAT_NAMES:
        raise ValueError(f"{FORMAT} must be one of {', '.join(FORMAT_NAMES)}")
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"{QUALITY} must be 1 to 100")
    return Ask(None if word is None else FORMAT_NAMES[word], None if quality is None else quality)


def _text_tensor(answer: Answer) -> np.ndarray:
    """Bytes as Triton's TYPE_STRING: an array of one object."""
    array = np.empty(1, np.object_)
    array[0] = answer.body
    return array


class ModelRunner(Runner):
    """A runner whose artifact is another model of the same server."""

    def __init__(
        self,
        model: str,
        manifest: Manifest,
        *,
        utils: Any,  # noqa: ANN401 - Triton's module
        as_floats: bool,
    ) -> None:
        """``as_floats``: the model takes float32 NCHW, whatever the artifact's own tensors are."""
        self._utils = utils
        self._as_floats = as_floats
        super().__init__(Path(model), manifest, threads=1, device="cpu")

    def _open(self) -> None:
        """Nothing: Triton loads the other model."""

    def _infer(self, image: np.ndarray) -> np.ndarray:
        utils = self._utils
        given, got = self.manifest.input, self.manifest.output
        if self._as_floats:
            given, got = (TensorSpec(spec.name, spec.shape, "float32") for spec in (given, got))
        request = utils.InferenceRequest(
            model_name=str(self.path),
            requested_output_names=[got.name],
            inputs=[utils.Tensor(given.name, to_io_format(image, given))],
            preferred_memory=utils.PreferredMemory(utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise ValueError(f"{self.path}: {response.error().message()}")
        output = utils.get_output_tensor_by_name(response, got.name).as_numpy()
        return from_io_format(output, got)
