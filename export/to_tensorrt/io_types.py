"""What a TensorRT engine takes and gives: ``--io fp32``, ``fp16`` or ``uint8``."""

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
BORDERS = ("fp32", "fp16", "uint8")
_DTYPES = {"fp32": "float32", "fp16": "float16", "uint8": "uint8"}
_KINDS = {"fp32": FLOAT, "fp16": HALF, "uint8": UINT8}


def border_tensors(spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as ``spec.options`` say: float NCHW in [-1, 1], or uint8 NHWC pictures."""
    io, most = spec.options["io"], spec.options["max_batch"]
    batch: int | str = "batch" if most > 1 else 1
    height, width = ("height", "width") if spec.dynamic else spec.size

    def tensor(name: str) -> TensorSpec:
        if io == "uint8":
            return TensorSpec(name, (batch, height, width, 3), "uint8", "NHWC", "RGB", (0, 255))
        return TensorSpec(name, (batch, 3, height, width), _DTYPES[io])

    return tensor(INPUT_NAME), tensor(OUTPUT_NAME)


def with_border(model: ModelProto, spec: ExportSpec) -> ModelProto:
    """Give a model with a float32 NCHW border the one asked for; changes ``model``."""
    onnx = require("onnx", extra="onnx")
    io = spec.options["io"]
    taken, given = border_tensors(spec)
    graph = model.graph
    if io != "fp32":
        _rename(model, INPUT_NAME, "image/float")
        _rename(model, OUTPUT_NAME, "deblurred/float")
        before, after = (_from_uint8, _to_uint8) if io == "uint8" else (_from_half, _to_half)
        nodes = [*before(onnx, graph), *graph.node, *after(onnx, graph)]
        del graph.node[:]
        graph.node.extend(nodes)
    del graph.input[:], graph.output[:], graph.value_info[:]
    info = onnx.helper.make_tensor_value_info
    graph.input.append(info(taken.name, _KINDS[io], taken.shape))
    graph.output.append(info(given.name, _KINDS[io], given.shape))
    return model


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _from_half(onnx: Any, _graph: Any) -> list[Any]:  # noqa: ANN401 - onnx's module and protobuf
    return [onnx.helper.make_node("Cast", [INPUT_NAME], ["image/float"], to=FLOAT)]


def _to_half(onnx: Any, _graph: Any) -> list[Any]:  # noqa: ANN401
    return [onnx.helper.make_node("Cast", ["deblurred/float"], [OUTPUT_NAME], to=HALF)]


# TensorRT takes uint8 at the border only, with a cast right behind it.
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
