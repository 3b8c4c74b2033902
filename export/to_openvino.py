"""OpenVINO: ``openvino-fp32`` and ``openvino-fp16``, a folder with model.xml and model.bin."""

from __future__ import annotations

from pathlib import Path

from ..runtimes.optional import require
from .graph import ExportSpec, Graph
from .registry import Target, register
from .to_onnx import to_model

MODEL_FILE = "model.xml"
RT_INFO_PATH = ["edgedeblur", "manifest"]


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write OpenVINO IR with float32 weights into the folder ``path``."""
    _save(graph, spec, path, half=False)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write OpenVINO IR with float16 weights; its runner computes in bf16 where the CPU has it."""
    _save(graph, spec, path, half=True)


def _save(graph: Graph, spec: ExportSpec, path: Path, *, half: bool) -> None:
    openvino = require("openvino", extra="openvino")
    # By way of our simplified ONNX, in memory: OpenVINO's own PyTorch front end traces with
    # TorchScript, which is on its way out, and keeps no names for input and output.
    data = to_model(graph, spec).SerializeToString()
    model = openvino.Core().read_model(data, b"")
    for text in spec.embed.values():
        model.set_rt_info(text, RT_INFO_PATH)
    path.mkdir()
    openvino.save_model(model, str(path / MODEL_FILE), compress_to_fp16=half)


_BUILD = ("torch", "onnx", "onnxscript", "onnxslim", "openvino")


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    return Target(
        name=f"openvino-{precision}",
        format="openvino",
        precision=precision,
        suffix=".openvino",
        extra="openvino",
        build_modules=_BUILD,
        run_modules=("openvino",),
        convert=convert_fp32 if precision == "fp32" else convert_fp16,
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=False,
        about=about,
    )


register(_target("fp32", "OpenVINO IR in a folder, float32", 80.0))
register(
    _target("fp16", "OpenVINO IR in a folder, float16 weights; bf16 where the CPU has it", 50.0)
)
