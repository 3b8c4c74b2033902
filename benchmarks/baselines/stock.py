"""The stock routes: ``torch.onnx.export`` and ``litert_torch.convert`` with their defaults.

The generator is exported as it is: eval mode, frozen norms not folded, no graph simplification, no
rewrites. The size is fixed, as it is for a user who passes an example picture.

The export runs as a module in its own process, so that PyTorch's memory is not measured.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
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

_INPUTS = {".onnx": "image", ".tflite": "serving_default_args_0"}
FAILED = 3  # an error meant for users; Python itself exits with 1 for any other
ORT = "onnxruntime"
LITERT = "litert"
OPENVINO = ("openvino-f32", "openvino-bf16")  # names in `runners.BASELINE_RUNTIMES`


def build_in_subprocess(checkpoint: Path, size: tuple[int, int], target: Path) -> tuple[str, ...]:
    """`build_stock` in a fresh process.

    Returns:
        Runtimes for the file on this machine: ``onnxruntime`` and names of `OPENVINO`, or
        ``litert``.

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

    The suffix of ``target`` chooses the route: .onnx or .tflite.

    Raises:
        FileNotFoundError, ValueError: see `models.checkpoints.checkpoint.load_checkpoint`.
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    from ...models.checkpoints.checkpoint import generator_from, load_checkpoint

    loaded = load_checkpoint(str(checkpoint))
    generator = generator_from(loaded, norm="frozen")
    write = _write_tflite if target.suffix == ".tflite" else _write_onnx
    write(generator, size, target)
    info = CheckpointInfo(loaded.sha256, str(checkpoint))
    write_manifest(_manifest(target, size, loaded, info), manifest_path(target))


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
        output=TensorSpec("deblurred", (1, 3, *size), "float32"),
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
    if target.suffix == ".tflite":
        return (LITERT,)
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
