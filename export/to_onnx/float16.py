"""Converts an ONNX graph to float16, with float32 where it is needed and at input and output.

Strongly typed runtimes (TensorRT 11) compute in the types of the graph, so the graph holds every
cast explicitly.

What stays float32 was measured at 256x256 on four samples, every result rounded to half, sums in
float32, residual SNR against PyTorch (MobileNet-DSC; MobileNet): all in half 49.5 to 53.1 dB (50.1
to 53.2); from the tanh on in float32, with the picture added unrounded, 52.6 to 59.7 (55.3 to
59.5); the first convolution too, 51.5 to 60.4 (56.0 to 60.4); half only for weights, 51.9 to 62.5
(56.3 to 61.8). Hence the tail is float32 and the first convolution is not.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.optional import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

FLOAT, HALF = 1, 10  # onnx.TensorProto.FLOAT, FLOAT16
QDQ_OPSET = 19  # the first whose Q/DQ pairs take half scales
# Live statistics in half precision lose the variance; these few numbers per channel stay float32.
_FLOAT_OPS = frozenset({"ReduceMean", "Sqrt", "Div"})
# Inputs that are always float32: Resize's region and scales.
_ALWAYS_FLOAT = {"Resize": (1, 2)}
_LARGEST, _SMALLEST = 65504.0, 2.0**-24


def to_half(model: ModelProto) -> ModelProto:
    """A copy with float16 weights and activations; float32 at input, output and from the tanh on.

    The residual add and the clamp stay float32: near 1, float16 has steps of 1/16 of an 8-bit
    level. The picture is added unrounded.

    Raises:
        ValueError: a weight out of float16's range.
    """
    model = copy.deepcopy(model)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        _raise_opset(model)
    return _TypePass(model).run()


def float_tail(model: ModelProto) -> set[str]:
    """Outputs of the nodes from the last tanh on: tanh, residual add, clamp.

    Of those after the last convolution, where no tanh follows it.
    """
    outputs: set[str] = set()
    for node in reversed(model.graph.node):
        if node.op_type in ("Conv", "ConvTranspose"):
            break
        outputs.add(node.output[0])
        if node.op_type == "Tanh":
            break
    return outputs


def _raise_opset(model: ModelProto) -> None:
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, QDQ_OPSET)


class _TypePass:
    """One pass over the nodes that gives each its inputs in its own precision."""

    def __init__(self, model: ModelProto) -> None:
        self._onnx = require("onnx", extra="export-onnx")
        self._model = model
        self._tail = float_tail(model)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._types = self._inferred(model)
        self._casts: dict[tuple[str, int], str] = {}

    def _inferred(self, model: ModelProto) -> dict[str, int]:
        """Element types of all tensors before the conversion."""
        graph = self._onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for value in (*graph.input, *graph.output, *graph.value_info):
            types[value.name] = value.type.tensor_type.elem_type
        return types

    def run(self) -> ModelProto:
        graph = self._model.graph
        was_float = {name for name, kind in self._types.items() if kind == FLOAT}
        nodes = list(graph.node)
        del graph.node[:]
        for node in nodes:
            self._type(node, was_float)
        for output in graph.output:
            if self._types[output.name] != FLOAT:  # the tail is float32, so this is a mistake
                raise ValueError(f"output {output.name} is float16")
        used = {name for node in graph.node for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:], graph.value_info[:]
        graph.initializer.extend(kept)
        return self._model

    def _type(self, node: NodeProto, was_float: set[str]) -> None:
        outputs = [name for name in node.output if name in was_float]
        inputs = [name for name in node.input if name in was_float]
        is_float = node.op_type in _FLOAT_OPS or bool(self._tail.intersection(node.output))
        precision = FLOAT if is_float or not (outputs or inputs) else HALF
        fixed = _ALWAYS_FLOAT.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if name in was_float:
                wanted = FLOAT if index in fixed else precision
                node.input[index] = self._in_precision(name, wanted, scale=_is_scale(node, index))
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = precision = HALF
        for name in outputs:
            self._types[name] = precision
        self._model.graph.node.append(node)

    def _in_precision(self, name: str, wanted: int, *, scale: bool = False) -> str:
        """Name of the tensor in the wanted precision: itself, a converted weight, or a cast."""
        if self._types[name] == wanted:
            return name
        key = (name, wanted)
        if key not in self._casts:
            self._casts[key] = f"{name}/{'half' if wanted == HALF else 'float'}"
            if name in self._initializers:
                self._store_half(name, self._casts[key], scale=scale)
            else:
                self._model.graph.node.append(
                    self._onnx.helper.make_node("Cast", [name], [self._casts[key]], to=wanted)
                )
        return self._casts[key]

    def _store_half(self, name: str, halved: str, *, scale: bool) -> None:
        value = self._onnx.numpy_helper.to_array(self._initializers[name])
        # The comparison with PyTorch reports NaN and infinite weights.
        if value.size and float(np.max(np.abs(value))) > _LARGEST and np.isfinite(value).all():
            raise ValueError(
                f"{name} holds {float(np.max(np.abs(value))):.4g}, above float16's "
                f"maximum {_LARGEST:g}; export in fp32"
            )
        if scale:  # a step of 0 would divide by it
            value = np.maximum(value, _SMALLEST)
        tensor = self._onnx.numpy_helper.from_array(value.astype(np.float16), halved)
        self._model.graph.initializer.append(tensor)


def _is_scale(node: NodeProto, index: int) -> bool:
    return index == 1 and node.op_type in ("QuantizeLinear", "DequantizeLinear")
