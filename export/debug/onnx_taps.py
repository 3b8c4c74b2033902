"""Layer outputs of ONNX graphs, float or with Q/DQ pairs, in onnxruntime and in OpenVINO."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from ...runtimes.optional import require
from .taps import Outputs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_BEHIND = ("Clip", "Relu", "QuantizeLinear", "DequantizeLinear", "DepthToSpace")


class OnnxTaps:
    """Runs an ONNX graph with the layers as outputs.

    Args:
        model: The graph; convolutions bear their layers' names.
        runtime: ``onnxruntime`` or ``openvino``.
        threads: CPU threads.
    """

    def __init__(
        self, model: ModelProto, *, runtime: str = "onnxruntime", threads: int = 1
    ) -> None:
        self._model, self._runtime, self._threads = model, runtime, threads
        self._tensors = layer_tensors(model)

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(self._tensors)

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """See `Taps.run`."""
        layers = list(wanted)
        model = with_outputs(self._model, [self._tensors[layer] for layer in layers])
        run = _in_openvino if self._runtime == "openvino" else _in_onnxruntime
        arrays = run(model.SerializeToString(), image, self._threads)
        # A layer whose output is the graph's own comes once, hence by name.
        return {layer: arrays[self._tensors[layer]].astype(np.float32) for layer in layers}


def layer_tensors(model: ModelProto) -> dict[str, str]:
    """Layer -> the tensor of its output: behind what each convolution may be fused with."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in _CONVOLUTIONS:
            tensor = node.output[0]
            while len(following := readers.get(tensor, [])) == 1 and (
                following[0].op_type in _BEHIND
            ):
                tensor = following[0].output[0]
            found[layer_name(node.name)] = tensor
    return found


def with_outputs(model: ModelProto, tensors: Collection[str]) -> ModelProto:
    """A copy that gives these tensors too, of their own types and of unknown shape."""
    onnx = require("onnx", extra="export-onnx")
    watched = copy.deepcopy(model)
    present = {output.name for output in watched.graph.output}
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=False).graph.value_info
    types = {info.name: info.type.tensor_type.elem_type for info in inferred}
    for name in dict.fromkeys(tensors):
        if name not in present:
            kind = types.get(name, onnx.TensorProto.FLOAT)
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return watched


def _in_onnxruntime(model: bytes, image: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    ort = require("onnxruntime", extra="export-onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    arrays = session.run(names, {session.get_inputs()[0].name: image})
    return dict(zip(names, arrays, strict=True))


def _in_openvino(model: bytes, image: np.ndarray, threads: int) -> dict[str, np.ndarray]:
    core: Any = require("openvino", extra="export-openvino").Core()
    # Its own choice is bfloat16 where the CPU has it, which hides all that is smaller.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
    answer = compiled({0: image})
    return {port.get_any_name(): np.array(answer[port]) for port in compiled.outputs}
