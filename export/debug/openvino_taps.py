"""Layer outputs of OpenVINO's own format (model.xml)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.optional import require
from .taps import Outputs

_CONVOLUTIONS = (
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
)
_BEHIND = ("Clamp", "Maximum", "Minimum", "Relu", "ReLU", "DepthToSpace")
_NO_BIAS = (
    "/WithoutBiases"  # what OpenVINO calls the convolution where the bias is a sum of its own
)


class OpenvinoTaps:
    """Runs a model with the layers as results, in float32 arithmetic.

    Args:
        path: ``model.xml``.
        threads: CPU threads.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._path, self._threads = path, threads
        self._core: Any = require("openvino", extra="export-openvino").Core()
        self._layers = tuple(_layer_ports(self._read()))

    @property
    def layers(self) -> tuple[str, ...]:
        """In topological order."""
        return self._layers

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """See `Taps.run`."""
        model = self._read()
        ports = _layer_ports(model)
        layers = list(wanted)
        for layer in layers:
            model.add_outputs(ports[layer])
        settings = {"INFERENCE_NUM_THREADS": self._threads, "INFERENCE_PRECISION_HINT": "f32"}
        answer = self._core.compile_model(model, "CPU", settings)({0: image})
        arrays = [np.array(answer[place], np.float32) for place in range(len(answer))]
        # The network's own result is first; the others follow in the order they were added.
        return dict(zip(layers, arrays[len(arrays) - len(layers) :], strict=True))

    def _read(self) -> Any:  # noqa: ANN401 - OpenVINO's model
        return self._core.read_model(str(self._path))


def _layer_ports(model: Any) -> dict[str, Any]:  # noqa: ANN401 - OpenVINO's types
    found: dict[str, Any] = {}
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in _CONVOLUTIONS:
            continue
        name = operation.get_friendly_name().removesuffix(_NO_BIAS)
        port = operation.output(0)
        while (node := _only_reader(port)) is not None and (
            # The bias is a sum that bears the layer's name.
            node.get_friendly_name() == name or node.get_type_name() in _BEHIND
        ):
            port = node.output(0)
        found[layer_name(name)] = port
    return found


def _only_reader(port: Any) -> Any:  # noqa: ANN401
    """The one node that reads a port's values, or None; reading its shape does not count."""
    readers = [target.get_node() for target in port.get_target_inputs()]
    readers = [node for node in readers if node.get_type_name() != "ShapeOf"]
    return readers[0] if len(readers) == 1 else None
