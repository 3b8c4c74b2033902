"""OpenVINO: a folder with model.xml and model.bin, or with model.onnx for ``openvino-int8``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.optional import require
from ..graph import ExportSpec, Graph
from ..registry import Converted, Target, register
from ..to_onnx.target import INT8_TOLERANCE_DB, save_model, to_model, to_quantised

if TYPE_CHECKING:
    from openvino import Model

MODEL_FILE = "model.xml"
QUANTISED_FILE = "model.onnx"


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write OpenVINO IR with float32 weights into the folder ``path``."""
    _save(graph, spec, path, half=False)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write OpenVINO IR with float16 weights; its runner uses bf16 if the CPU supports it."""
    _save(graph, spec, path, half=True)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write the quantised network into the folder ``path`` as ONNX, which OpenVINO reads.

    OpenVINO IR writes out every Q/DQ pair: 1.5 MB of XML for 1.3 MB of weights
    (MobileNet-DSC), which would be more than half of the float artifact.
    """
    done = to_quantised(graph, spec)
    path.mkdir()
    save_model(done.model, spec, path / QUANTISED_FILE)
    return Converted(quantised=done)


def _save(graph: Graph, spec: ExportSpec, path: Path, *, half: bool) -> None:
    openvino = require("openvino", extra="export-openvino")
    # Converts the simplified ONNX, in memory. OpenVINO's PyTorch front end (convert_model, from
    # TorchScript or torch.export) writes a third of the layers, but the compiled model is as large
    # and as fast; its outputs for live norms are wrong (off by up to 0.7 in [-1, 1]); it leaves
    # the output unnamed; and it sends telemetry for every conversion, which read_model does not.
    data = to_model(graph, spec).SerializeToString()
    model = openvino.Core().read_model(data, b"")
    _number_layers(model)
    for key, text in spec.embed.items():
        model.set_rt_info(text, key.split("."))
    path.mkdir()
    openvino.save_model(model, str(path / MODEL_FILE), compress_to_fp16=half)


def _number_layers(model: Model) -> None:
    """Number unnamed layers in order.

    OpenVINO names them by a process-wide counter, which would change the file's hash from one
    export to the next.
    """
    for index, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_{index}")


_BUILD = ("torch", "onnx", "onnxscript", "onnxslim", "openvino")


_CONVERT = {"fp32": convert_fp32, "fp16": convert_fp16, "int8": convert_int8}


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    modules = (*_BUILD, "onnxruntime") if precision == "int8" else _BUILD
    return Target(
        name=f"openvino-{precision}",
        format="openvino",
        precision=precision,
        suffix=".openvino",
        extra="export-openvino",
        build_modules=modules,
        run_modules=("openvino",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
    )


register(_target("fp32", "OpenVINO IR in a folder, float32", 80.0))
register(
    _target("fp16", "OpenVINO IR in a folder, float16 weights; bf16 where the CPU has it", 50.0)
)
register(
    _target("int8", "OpenVINO folder, int8 weights, 8-bit activations; the rest in bf16 where "
            "the CPU has it", INT8_TOLERANCE_DB)
)  # fmt: skip
