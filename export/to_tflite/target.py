"""TFLite (LiteRT): one .tflite file, NHWC, by default with uint8 image input and output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.artifact import TensorSpec
from ..android import ANDROID_OPTION
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from ..registry import Converted, Option, Target, register
from ..to_onnx.target import INT8_TOLERANCE_DB
from ..web.option import WEB_OPTION

if TYPE_CHECKING:
    from ...runtimes.run_tflite.tflite_file import TfliteFile

IO_OPTION = Option(
    flag="--io",
    help="what goes in and out: image (8-bit pixels) or tensor (float32 in [-1, 1]) "
    "(default: image)",
    choices=("image", "tensor"),
    default="image",
)

DELEGATE_OPTION = Option(
    flag="--require-delegate",
    help="fail if an operator falls back to the CPU from xnnpack, gpu or nnapi",
    choices=("xnnpack", "gpu", "nnapi"),
    default=None,
)


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write a float32 file."""
    _save(_to_operators(graph, spec), spec, path)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write a file with float16 weights; the delegate chooses the compute type."""
    from .operators import store_float16_weights

    file = _to_operators(graph, spec)
    store_float16_weights(file)
    _save(file, spec, path)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a file with int8 weights and activations; the recipe's kept layers stay float."""
    from ...quantize.ptq.tflite_graph import quantise_tflite
    from ..to_onnx.target import to_quantised

    quantised = to_quantised(graph, spec)
    assert spec.quantise is not None
    spec.quantise.log("converting to TFLite")
    file = quantise_tflite(_to_operators(graph, spec), quantised, spec.quantise.recipe)
    _save(file, spec, path)
    return Converted(quantised=quantised)


def _to_operators(graph: Graph, spec: ExportSpec) -> TfliteFile:
    """The float32 network as TFLite operators.

    Raises:
        ValueError: live norms.
    """
    from .operators import to_operators

    if graph.norm != "frozen":
        raise ValueError(
            f"{spec.target} needs frozen norms: live ones are reductions over whole pictures, "
            "which overflow in a GPU's half precision; use --norm frozen"
        )
    return to_operators(graph, spec.size, levels=has_image_io(spec))


def _save(file: TfliteFile, spec: ExportSpec, path: Path) -> None:
    """Set the input and output type and the metadata, and write the file.

    Raises:
        ValueError: the required delegate does not support every operator.
    """
    from .delegates import check_operators, require_delegate
    from .io_types import add_uint8_io

    if has_image_io(spec):
        add_uint8_io(file)
    for key, text in spec.embed.items():
        file.set_metadata(key, text)
    path.write_bytes(file.pack())
    wanted = spec.options.get(DELEGATE_OPTION.key)
    if wanted is not None:
        require_delegate(check_operators(path), wanted)


def has_image_io(spec: ExportSpec) -> bool:
    """Whether input and output are uint8 images (``--io image``)."""
    return spec.options.get(IO_OPTION.key, IO_OPTION.default) == "image"


def io_tensors(spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """Input and output: NHWC RGB, uint8 0..255 or float32 in [-1, 1]."""
    shape = (1, *spec.size, 3)
    if has_image_io(spec):
        dtype, value_range = "uint8", (0.0, 255.0)
    else:
        dtype, value_range = "float32", (-1.0, 1.0)
    input_spec, output_spec = (
        TensorSpec(name, shape, dtype, layout="NHWC", value_range=value_range)
        for name in (INPUT_NAME, OUTPUT_NAME)
    )
    return input_spec, output_spec


_BUILD = ("torch", "litert_torch", "ai_edge_litert", "flatbuffers")
# Calibration runs the network in ONNX Runtime.
_BUILD_INT8 = (*_BUILD, "ai_edge_quantizer", "onnx", "onnxscript", "onnxslim", "onnxruntime")


def _target(precision: str, about: str, tolerance_psnr_db: float, convert: object) -> Target:
    return Target(
        name=f"tflite-{precision}",
        format="tflite",
        precision=precision,
        suffix=".tflite",
        extra="export-tflite",
        build_modules=_BUILD_INT8 if precision == "int8" else _BUILD,
        run_modules=("ai_edge_litert",),
        convert=convert,  # pyright: ignore[reportArgumentType]
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        options=(IO_OPTION, DELEGATE_OPTION, ANDROID_OPTION, WEB_OPTION),
        tensors=io_tensors,
        free_size=False,
    )


register(_target("fp32", "TFLite, float32, picture in and out", 80.0, convert_fp32))
register(_target("fp16", "TFLite, float16 weights, picture in and out", 50.0, convert_fp16))
register(
    _target("int8", "TFLite, int8 weights and activations, picture in and out",
            INT8_TOLERANCE_DB, convert_int8)
)  # fmt: skip
