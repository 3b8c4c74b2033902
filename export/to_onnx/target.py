"""ONNX: ``onnx-fp32`` and ``onnx-fp16``, one file each, checked and simplified."""

from __future__ import annotations

import collections
import contextlib
import io
import logging
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtimes.optional import require
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from ..registry import Converted, Target, register
from ..web.option import WEB_OPTION
from .float16 import to_half

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from ...quantize.pipeline import QuantisedOnnx

# 18 is what torch.onnx.export writes natively; every runtime we target reads it.
OPSET = 18
INT8_TOLERANCE_DB = 35.0  # on every picture; the drop against sharp pictures has its own gate
_MAX_SIDE = 32768  # torch.export needs an upper bound of a dynamic side


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write a float32 ONNX file."""
    save_model(to_model(graph, spec), spec, path)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write an ONNX file with float16 weights and activations, float32 input and output."""
    save_model(to_half(to_model(graph, spec)), spec, path)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write an ONNX file with Q/DQ pairs: int8 weights, 8-bit activations, float input, output."""
    done = to_quantised(graph, spec)
    save_model(done.model, spec, path)
    return Converted(quantised=done)


def to_quantised(graph: Graph, spec: ExportSpec) -> QuantisedOnnx:
    """Trace, calibrate and quantise by the plan in ``spec.quantise``.

    Raises:
        ValueError: no plan, or live norms, whose statistics cannot be quantised to 8 bits.
    """
    from ...quantize.pipeline import run_plan

    if spec.quantise is None:
        raise ValueError(f"{spec.target} needs calibration pictures")
    if graph.norm != "frozen":
        raise ValueError(f"{spec.target} needs frozen norms; use --norm frozen")
    return run_plan(to_model(graph, spec), spec.quantise)


def to_model(graph: Graph, spec: ExportSpec) -> ModelProto:
    """Trace the graph and simplify it.

    Returns:
        A float32 model, opset 18, ``image`` -> ``deblurred``.
    """
    torch = require("torch", extra="export-onnx")
    require("onnxscript", extra="export-onnx")
    onnxslim = require("onnxslim", extra="export-onnx")
    height, width = spec.size
    shapes: Any = None
    if spec.dynamic:
        network = graph.checkpoint.described
        step, least = network.size_multiple, network.smallest_side // network.size_multiple
        rows, columns = (
            torch.export.Dim(f"{side}_{step}ths", min=least, max=_MAX_SIDE // step)
            for side in ("height", "width")
        )
        shapes = {INPUT_NAME: {2: step * rows, 3: step * columns}}
        # torch.export specialises on sides that are equal, or 1 after the division.
        height, width = (least + 2) * step, (least + 3) * step
    with _silence_exporters():
        program = torch.onnx.export(
            graph.module,
            (torch.zeros(1, 3, height, width),),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        model = onnxslim.slim(program.model_proto)
    _name_free_dimensions(model, spec)
    _unshare_weights(model, graph.module)
    _name_nodes(model)
    return model


def _unshare_weights(model: ModelProto, module: nn.Module) -> None:
    """Give each convolution its own weight, named after its layer.

    The exporter stores equal weights once, under the first layer's name (`split_concat` copies a
    depthwise kernel). Layers that share one are used in the order in which the module holds them.
    """
    weights = {name: t for name, t in module.state_dict().items() if name.endswith(".weight")}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        name = node.input[1]
        value = weights.get(name) if name in seen else None
        if value is not None:
            equal = (n for n, t in weights.items() if n not in stored and t.equal(value))
            other = next(equal, None)  # None: one layer that runs twice
            if other is not None:
                copied = model.graph.initializer.add()
                copied.CopyFrom(stored[name])
                copied.name = node.input[1] = other
                stored[other] = copied
        seen.add(node.input[1])


def _name_nodes(model: ModelProto) -> None:
    """Name convolutions after their weights, so that errors and recipes can refer to them.

    The runs of one layer after its first get a number, since onnxruntime wants unique names.
    """
    runs: collections.Counter[str] = collections.Counter()
    for index, node in enumerate(model.graph.node):
        if node.op_type not in ("Conv", "ConvTranspose"):
            node.name = f"{node.op_type}_{index}"
            continue
        name = node.input[1].removesuffix(".weight")
        runs[name] += 1
        node.name = name if runs[name] == 1 else f"{name}.{runs[name]}"


def _name_free_dimensions(model: ModelProto, spec: ExportSpec) -> None:
    """Name dynamic sides height and width; drop the traced shapes, which runtimes infer."""
    del model.graph.value_info[:]
    if not spec.dynamic:
        return
    for tensor in (*model.graph.input, *model.graph.output):
        dimensions = tensor.type.tensor_type.shape.dim
        dimensions[2].dim_param, dimensions[3].dim_param = "height", "width"


def save_model(model: ModelProto, spec: ExportSpec, path: Path) -> None:
    """Check the model and write it, with the manifest inside and no paths of this machine."""
    onnx = require("onnx", extra="export-onnx")
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces with the exporting machine's paths
        node.doc_string = ""
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del tensor.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "edgedeblur", "", ""
    model.graph.name = "deblurgan_v2"
    onnx.helper.set_model_props(model, spec.embed)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _silence_exporters() -> Generator[None]:
    """Suppress the exporters' log output and warnings; errors still propagate."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


_BUILD = ("torch", "onnx", "onnxscript", "onnxslim")

register(
    Target(
        name="onnx-fp32",
        format="onnx",
        precision="fp32",
        suffix=".onnx",
        extra="export-onnx",
        build_modules=_BUILD,
        run_modules=("onnxruntime",),
        convert=convert_fp32,
        tolerance_psnr_db=80.0,
        needs_calibration=False,
        about="ONNX, float32",
        options=(WEB_OPTION,),
    )
)
register(
    Target(
        name="onnx-int8",
        format="onnx",
        precision="int8",
        suffix=".onnx",
        extra="export-onnx",
        build_modules=(*_BUILD, "onnxruntime"),
        run_modules=("onnxruntime",),
        convert=convert_int8,
        tolerance_psnr_db=INT8_TOLERANCE_DB,
        needs_calibration=True,
        about="ONNX with Q/DQ pairs, int8 weights, 8-bit activations, float input and output",
        options=(WEB_OPTION,),
    )
)
register(
    Target(
        name="onnx-fp16",
        format="onnx",
        precision="fp16",
        suffix=".onnx",
        extra="export-onnx",
        build_modules=(*_BUILD, "onnxruntime"),
        run_modules=("onnxruntime",),
        convert=convert_fp16,
        tolerance_psnr_db=50.0,
        needs_calibration=False,
        about="ONNX, float16 inside, float32 input and output",
        options=(WEB_OPTION,),
    )
)
