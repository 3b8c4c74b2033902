"""Inputs and outputs of a TensorRT engine: ``--io fp32``, ``fp16`` or ``uint8``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.artifact import TensorSpec
from ...runtimes.optional import require
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec
from ..to_onnx.float16 import FLOAT, HALF

if TYPE_CHECKING:
    from onnx import ModelProto

UINT8 = 2  # onnx.TensorProto.UINT8
IO_FORMATS = ("fp32", "fp16", "uint8")
_DTYPES = {"fp32": "float32", "fp16": "float16", "uint8": "uint8"}
_ONNX_TYPES = {"fp32": FLOAT, "fp16": HALF, "uint8": UINT8}


def io_tensors(spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """Input and output for the options: float NCHW in [-1, 1], or uint8 NHWC pictures."""
    io, max_batch = spec.options["io"], spec.options["max_batch"]
    batch: int | str = "batch" if max_batch > 1 else 1
    height, width = ("height", "width") if spec.dynamic else spec.size

    def tensor(name: str) -> TensorSpec:
        if io == "uint8":
            return TensorSpec(name, (batch, height, width, 3), "uint8", "NHWC", "RGB", (0, 255))
        return TensorSpec(name, (batch, 3, height, width), _DTYPES[io])

    return tensor(INPUT_NAME), tensor(OUTPUT_NAME)


def with_io_format(model: ModelProto, spec: ExportSpec) -> ModelProto:
    """Convert a model's float32 NCHW input and output to the requested type; changes ``model``."""
    onnx = require("onnx", extra="export-onnx")
    io = spec.options["io"]
    input_spec, output_spec = io_tensors(spec)
    graph = model.graph
    if io != "fp32":
        _rename_tensor(model, INPUT_NAME, "image/float")
        _rename_tensor(model, OUTPUT_NAME, "deblurred/float")
        before, after = (_from_uint8, _to_uint8) if io == "uint8" else (_from_half, _to_half)
        nodes = [*before(onnx, graph), *graph.node, *after(onnx, graph)]
        del graph.node[:]
        graph.node.extend(nodes)
    del graph.input[:], graph.output[:], graph.value_info[:]
    info = onnx.helper.make_tensor_value_info
    graph.input.append(info(input_spec.name, _ONNX_TYPES[io], input_spec.shape))
    graph.output.append(info(output_spec.name, _ONNX_TYPES[io], output_spec.shape))
    return model


def _rename_tensor(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _from_half(onnx: Any, _graph: Any) -> list[Any]:  # noqa: ANN401 - onnx's module and protobuf
    return [onnx.helper.make_node("Cast", [INPUT_NAME], ["image/float"], to=FLOAT)]


def _to_half(onnx: Any, _graph: Any) -> list[Any]:  # noqa: ANN401
    return [onnx.helper.make_node("Cast", ["deblurred/float"], [OUTPUT_NAME], to=HALF)]


# TensorRT allows uint8 only for inputs and outputs, next to a cast.
def _from_uint8(onnx: Any, graph: Any) -> list[Any]:  # noqa: ANN401
    make = onnx.helper.make_node
    for name, value in (("border/middle", 127.5), ("border/one", 1.0)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    return [
        make("Cast", [INPUT_NAME], ["border/levels"], to=FLOAT),
        make("Transpose", ["border/levels"], ["border/planes"], perm=[0, 3, 1, 2]),
        make("Div", ["border/planes", "border/middle"], ["border/scaled"]),
        make("Sub", ["border/scaled", "border/one"], ["image/float"]),
    ]


def _to_uint8(onnx: Any, _graph: Any) -> list[Any]:  # noqa: ANN401
    make = onnx.helper.make_node
    return [
        make("Add", ["deblurred/float", "border/one"], ["border/lifted"]),
        make("Mul", ["border/lifted", "border/middle"], ["border/wide"]),
        make("Round", ["border/wide"], ["border/whole"]),
        make("Transpose", ["border/whole"], ["border/rows"], perm=[0, 2, 3, 1]),
        make("Cast", ["border/rows"], [OUTPUT_NAME], to=UINT8),
    ]
