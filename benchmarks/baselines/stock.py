"""The stock routes: every converter from PyTorch with its defaults.

``torch.onnx.export``, ``litert_torch.convert``, ``pnnx`` and ExecuTorch's
``to_edge_transform_and_lower`` for XNNPACK.

The generator is exported as it is: eval mode, frozen norms not folded, no graph simplification, no
rewrites. The size is fixed, as it is for a user who passes an example picture.

The export runs as a module in its own process, so that PyTorch's memory is not measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.artifact import CheckpointInfo, Manifest, TensorSpec, manifest_path, write_manifest
from ...runtimes.command_line.console import DONE, USER_ERRORS, one_line
from ...runtimes.files import sha256_of, size_of
from ...runtimes.optional import available, require, version_of
from ...runtimes.sdk_errors import suppress_output
from ..workers.jobs import exit_reason, module_command

if TYPE_CHECKING:
    from torch import nn

    from ...models.checkpoints.checkpoint import Checkpoint

_INPUTS = {".onnx": "image", ".tflite": "serving_default_args_0", ".ncnn": "in0", ".pte": "image"}
FAILED = 3  # an error meant for users; Python itself exits with 1 for any other
ORT = "onnxruntime"
LITERT = "litert"
NCNN = "ncnn"
EXECUTORCH = "executorch"
# What runs a stock file of another suffix than .onnx.
ROUTES = {".tflite": LITERT, ".ncnn": NCNN, ".pte": EXECUTORCH}
OPENVINO = ("openvino-f32", "openvino-bf16")  # names in `runners.BASELINE_RUNTIMES`


def build_in_subprocess(checkpoint: Path, size: tuple[int, int], target: Path) -> tuple[str, ...]:
    """`build_stock` in a fresh process.

    Returns:
        Runtimes for the file on this machine: ``onnxruntime`` and names of `OPENVINO`, or the one
        of `ROUTES`.

    Raises:
        ValueError: the export failed; the message gives the reason.
    """
    arguments = [str(checkpoint), str(size[0]), str(size[1]), str(target)]
    done = subprocess.run(
        module_command(__name__, *arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == FAILED:
        raise ValueError(f"building stock {target.suffix[1:]}: {one_line(ValueError(done.stderr))}")
    if done.returncode:
        raise ValueError(
            f"building stock {target.suffix[1:]}: {exit_reason(done.returncode, done.stderr)}"
        )
    return tuple(str(route) for route in json.loads(done.stdout.splitlines()[-1]))


def build_stock(checkpoint: Path, size: tuple[int, int], target: Path) -> None:
    """Write ``target``, float32 (1, 3, height, width) in and out, and its manifest.

    The suffix of ``target`` chooses the route: .onnx, .tflite, .ncnn or .pte.

    Raises:
        FileNotFoundError, ValueError: see `models.checkpoints.checkpoint.load_checkpoint`.
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    from ...models.checkpoints.checkpoint import generator_from, load_checkpoint
    from ...models.network.counting import conv_macs

    loaded = load_checkpoint(str(checkpoint))
    generator = generator_from(loaded, norm="frozen")
    _WRITERS[target.suffix](generator, size, target)
    info = CheckpointInfo(loaded.sha256, str(checkpoint))
    manifest = _manifest(target, size, loaded, info)
    if target.suffix == ".pte":  # the others are counted from the file
        params = sum(parameter.numel() for parameter in generator.parameters())
        macs = conv_macs(generator, size)
        manifest = dataclasses.replace(manifest, params=params, macs=macs, macs_size=size)
    write_manifest(manifest, manifest_path(target))


def _write_onnx(generator: nn.Module, size: tuple[int, int], target: Path) -> None:
    torch = require("torch", extra="torch")
    require("onnx", extra="bench")
    require("onnxscript", extra="export-onnx")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's, about its own internals
        # One file, so that one hash covers it; where the weights lie costs no time at inference.
        torch.onnx.export(
            generator,
            (torch.zeros(1, 3, *size),),
            str(target),
            input_names=["image"],
            output_names=["deblurred"],
            external_data=False,
        )


def _write_tflite(generator: nn.Module, size: tuple[int, int], target: Path) -> None:
    torch = require("torch", extra="torch")
    with suppress_output():
        litert = require("litert_torch", extra="export-tflite")
        litert.convert(generator.eval(), (torch.zeros(1, 3, *size),)).export(str(target))


def _write_ncnn(generator: nn.Module, size: tuple[int, int], target: Path) -> None:
    torch = require("torch", extra="torch")
    pnnx = require("pnnx", extra="export-ncnn")
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "net.pt"
        with suppress_output(), torch.no_grad():
            torch.jit.trace(generator.eval(), torch.zeros(1, 3, *size)).save(str(traced))
        # Of pnnx's defaults only float16 weights are not taken: the row is the float32 one.
        shape = f"inputshape=[1,3,{size[0]},{size[1]}]f32"
        subprocess.run(
            [pnnx.EXEC_PATH, traced.name, shape, "fp16=0"],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        for name in ("param", "bin"):
            written = Path(folder) / f"net.ncnn.{name}"
            if not written.is_file():
                raise ValueError("pnnx cannot convert the network")
            (target / f"model.{name}").write_bytes(written.read_bytes())


def _write_executorch(generator: nn.Module, size: tuple[int, int], target: Path) -> None:
    torch = require("torch", extra="torch")
    with suppress_output():
        exir = require("executorch.exir", extra="export-executorch")
        xnnpack = require(
            "executorch.backends.xnnpack.partition.xnnpack_partitioner", extra="export-executorch"
        )
        program = torch.export.export(generator.eval(), (torch.zeros(1, 3, *size),))
        edge = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
        target.write_bytes(bytes(edge.to_executorch().buffer))


_WRITERS = {
    ".onnx": _write_onnx,
    ".tflite": _write_tflite,
    ".ncnn": _write_ncnn,
    ".pte": _write_executorch,
}


def _manifest(
    path: Path, size: tuple[int, int], loaded: Checkpoint, info: CheckpointInfo
) -> Manifest:
    from ...models.network.receptive_field import receptive_radius_px

    return Manifest(
        target=f"stock-{path.suffix[1:]}-fp32",
        backbone=loaded.backbone,
        network=loaded.network,
        widths=loaded.widths.to_dict() if loaded.widths else None,
        checkpoint=info,
        norm="frozen",
        input=TensorSpec(_INPUTS[path.suffix], (1, 3, *size), "float32"),
        output=TensorSpec(
            "out0" if path.suffix == ".ncnn" else "deblurred", (1, 3, *size), "float32"
        ),
        size_multiple=loaded.size_multiple,
        receptive_radius_px=receptive_radius_px(loaded.backbone, loaded.widths),
        params=0,  # counted from the graph where they are shown
        macs=None,
        macs_size=None,
        bytes=size_of(path),
        sha256=sha256_of(path),
        tools={"torch": version_of("torch") or "?"},
        trained_norm=loaded.norm,
    )


def routes(target: Path) -> tuple[str, ...]:
    """What can run a stock file on this machine's CPU."""
    if target.suffix in ROUTES:
        return (ROUTES[target.suffix],)
    if not available("openvino"):
        return (ORT,)
    properties = require("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return (ORT, *(OPENVINO if "BF16" in properties else OPENVINO[:1]))


def main(arguments: list[str]) -> int:
    """CHECKPOINT HEIGHT WIDTH TARGET; the last line on standard output is `routes` as JSON."""
    checkpoint, height, width, target = arguments
    try:
        build_stock(Path(checkpoint), (int(height), int(width)), Path(target))
        sys.stdout.write(json.dumps(routes(Path(target))) + "\n")
    except USER_ERRORS as error:
        sys.stderr.write(one_line(error) + "\n")
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
