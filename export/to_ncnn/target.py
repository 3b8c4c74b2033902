"""ncnn: a folder with model.param (the layers) and model.bin (the weights), by way of pnnx.

The network takes any size, also where one was asked for.
"""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...quantize.recipe import NARROW, with_whole_blocks
from ...runtimes.optional import require
from ...runtimes.run_ncnn.param_file import param_text, parse_param, with_blob_names
from ...runtimes.run_ncnn.runner import PARAM_FILE, WEIGHTS_FILE
from ...runtimes.sdk_errors import suppress_output
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from ..registry import Converted, Target, register
from ..to_onnx.target import INT8_TOLERANCE_DB

if TYPE_CHECKING:
    from ...quantize.recipe import Recipe

_TRACED, _PNNX_PARAM, _PNNX_WEIGHTS = "net.pt", "net.ncnn.param", "net.ncnn.bin"
_PNNX_NAMES = {"in0": INPUT_NAME, "out0": OUTPUT_NAME}


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write the two files with float32 weights into the folder ``path``."""
    _convert(graph, spec, path, half=False)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write the two files with float16 weights; biases stay float32."""
    _convert(graph, spec, path, half=True)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write the two files with int8 weights where the recipe has them, else float32 ones.

    Raises:
        ValueError: as `int8.quantised_model`.
    """
    from ...quantize.ptq.ncnn_model import read_model, write_model
    from .int8 import checked_plan, quantised_model

    checked_plan(graph, spec)  # before minutes of work
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32"
        _convert(graph, spec, plain, half=False)
        model, stability = quantised_model(read_model(plain), graph, spec)
    path.mkdir()
    write_model(model, path)
    return Converted(quantised=stability)


def _convert(graph: Graph, spec: ExportSpec, path: Path, *, half: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _trace(graph, spec.size, scratch / _TRACED)
        _run_pnnx(scratch, spec.size, half=half)
        text = (scratch / _PNNX_PARAM).read_text(encoding="utf-8")
        layers = with_blob_names(parse_param(text, origin=_PNNX_PARAM), _PNNX_NAMES)
        path.mkdir()
        (path / PARAM_FILE).write_text(param_text(layers), encoding="utf-8", newline="\n")
        (path / WEIGHTS_FILE).write_bytes((scratch / _PNNX_WEIGHTS).read_bytes())


def _trace(graph: Graph, size: tuple[int, int], path: Path) -> None:
    """Write TorchScript, which pnnx reads."""
    torch = require("torch", extra="export-ncnn")
    with suppress_output(), torch.no_grad():
        traced = torch.jit.trace(graph.module.eval(), torch.zeros(1, 3, *size), check_trace=False)
        traced.save(str(path))


def _run_pnnx(folder: Path, size: tuple[int, int], *, half: bool) -> None:
    """Convert ``net.pt`` in ``folder``; pnnx writes its results beside it.

    Raises:
        ValueError: pnnx failed; the message gives the last line it printed.
    """
    pnnx = require("pnnx", extra="export-ncnn")
    shape = f"inputshape=[1,3,{size[0]},{size[1]}]f32"
    command = [pnnx.EXEC_PATH, _TRACED, shape, f"fp16={int(half)}"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0 or not (folder / _PNNX_WEIGHTS).is_file():
        printed = (done.stderr + done.stdout).split("\n")
        last = next((line.strip() for line in reversed(printed) if line.strip()), "no output")
        raise ValueError(f"pnnx cannot convert the network (exit {done.returncode}: {last})")


_CONVERT = {"fp32": convert_fp32, "fp16": convert_fp16, "int8": convert_int8}


def _signed_recipe(recipe: Recipe) -> Recipe:
    """The recipe with signed activations, the only ones that ncnn has, and narrow layers in float.

    ncnn rounds what a convolution reads within that convolution, which costs more than 8-bit
    products save where few channels are read: MobileNet-DSC at 736x1280 takes 308 ms with
    narrow and depthwise convolutions in float, 346 with all in 8 bits, 367 in float32 (MobileNet
    437, 480, 579; 2 threads of an Intel Xeon with AMX).
    """
    keep = tuple(dict.fromkeys((*with_whole_blocks(recipe).keep, NARROW)))
    name = "static_w8a8_perchannel_symmetric"
    return dataclasses.replace(recipe, name=name, equalise=False, keep=keep)


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    return Target(
        name=f"ncnn-{precision}",
        format="ncnn",
        precision=precision,
        suffix=".ncnn",
        extra="export-ncnn",
        build_modules=("torch", "pnnx"),
        run_modules=("ncnn",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        recipe=_signed_recipe if precision == "int8" else None,
    )


register(_target("fp32", "ncnn folder (model.param, model.bin), float32", 80.0))
register(
    _target("fp16", "ncnn folder, float16 weights; float16 arithmetic on Arm, float32 on x86", 50.0)
)
register(
    _target("int8", "ncnn folder, int8 weights and activations in convolutions, float input and "
            "output", INT8_TOLERANCE_DB)
)  # fmt: skip
