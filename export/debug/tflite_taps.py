"""Layer outputs of TFLite files, in LiteRT's reference to every tensor."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.optional import require
from .taps import Outputs

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")


class TfliteTaps:
    """Runs a file with all its tensors kept, which takes more memory than running it.

    Args:
        path: The file; its tensors bear their layers' names.
        threads: CPU threads.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        interpreters: Any = require("ai_edge_litert.interpreter", extra="export-tflite")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that this is for debugging: it is
            self._interpreter: Any = interpreters.Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=(
                    interpreters.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                ),
            )
        self._interpreter.allocate_tensors()
        self._details = {each["index"]: each for each in self._interpreter.get_tensor_details()}
        self._tensors = self._layer_tensors()

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(self._tensors)

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """See `Taps.run`."""
        port = self._interpreter.get_input_details()[0]
        self._interpreter.set_tensor(port["index"], _as_input(image, port))
        self._interpreter.invoke()
        return {layer: self._output(self._tensors[layer]) for layer in wanted}

    def _layer_tensors(self) -> dict[str, int]:
        """Layer -> index of its output. Activations are fused into the convolutions."""
        operations = self._interpreter._get_ops_details()
        found: dict[str, int] = {}
        shuffled = {
            int(operation["inputs"][0]): int(operation["outputs"][0])
            for operation in operations
            if operation["op_name"] == "DEPTH_TO_SPACE"
        }
        for operation in operations:
            if operation["op_name"] not in _CONVOLUTIONS:
                continue
            names = [self._details[i]["name"] for i in operation["inputs"] if i in self._details]
            weight = next((name for name in names if name.endswith(".weight")), None)
            if weight is not None:
                output = int(operation["outputs"][0])
                found[layer_name(weight)] = shuffled.get(output, output)
        return found

    def _output(self, index: int) -> np.ndarray:
        value = self._interpreter.get_tensor(index)
        scale, zero = self._details[index]["quantization"]
        real = (value.astype(np.float32) - zero) * scale if scale else value.astype(np.float32)
        return np.ascontiguousarray(real.transpose(0, 3, 1, 2))


def _as_input(image: np.ndarray, port: dict[str, Any]) -> np.ndarray:
    """The picture as the file takes it: NCHW or NHWC, levels or [-1, 1]."""
    channels_last = tuple(port["shape"])[-1] == 3
    arranged = image.transpose(0, 2, 3, 1) if channels_last else image
    if port["dtype"] == np.uint8:
        arranged = np.rint((arranged + 1.0) * 127.5).astype(np.uint8)
    return np.ascontiguousarray(arranged.astype(port["dtype"], copy=False))
