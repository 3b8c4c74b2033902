"""ExecuTorch: ``.pte`` programs of fixed size, lowered to XNNPACK or another backend."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ...quantize.ptq.pt2e_upsampling import with_transposed_upsampling
from ...quantize.recipe import with_whole_blocks
from ...runtimes.optional import require
from ...runtimes.run_executorch.runner import ExecutorchRunner, missing_backends, quiet
from ...runtimes.sdk_errors import suppress_output
from ..graph import ExportSpec, Graph
from ..registry import Converted, Option, StandIn, Target, register
from ..to_onnx.target import INT8_TOLERANCE_DB
from .half import float16_kernels, half_module
from .lowering import backend_name, lower

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from ...runtimes.artifact import Manifest
    from ...runtimes.base import Runner


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a program with float32 weights and arithmetic."""
    return write_program(_trace(graph.module, spec), spec, path)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a program with float16 arithmetic and kernels, float32 input and output.

    Raises:
        ValueError: a backend other than XNNPACK.
    """
    if spec.options["backend"] != "xnnpack":
        raise ValueError(
            f"{spec.target} is for --backend xnnpack, whose programs it keeps small; "
            "use executorch-fp32"
        )
    with float16_kernels():
        return write_program(_trace(graph.module, spec, half=True), spec, path)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a program with int8 weights and activations, float32 input and output.

    Raises:
        ValueError: as `int8.quantised_network`.
    """
    from .int8 import quantised_network

    network, stability = quantised_network(graph, spec)
    done = write_program(_trace(network, spec), spec, path)
    return dataclasses.replace(done, quantised=stability)


def write_program(program: ExportedProgram, spec: ExportSpec, path: Path) -> Converted:
    """Lower the program to the backend asked for; one that cannot run here gets a stand-in."""
    backend = spec.options["backend"]
    texts = {_method_name(key): text for key, text in spec.embed.items()}
    path.write_bytes(lower(program, backend, texts))
    with quiet():
        lacking = missing_backends(path)
    if not lacking:
        return Converted()
    note = (
        f"ran the same program in portable kernels: {', '.join(lacking)} is not part of this "
        "machine's ExecuTorch"
    )
    return Converted(stand_in=StandIn(_portable_runner(program), note))


def _method_name(key: str) -> str:
    """``edgedeblur.manifest`` -> ``edgedeblur_manifest``: methods have no dots in their names."""
    return key.replace(".", "_")


def _portable_runner(program: ExportedProgram) -> Callable[[Manifest, int], Runner]:
    def open_runner(manifest: Manifest, threads: int) -> Runner:
        with _temporary_file(lower(program, "portable", {})) as path:
            return ExecutorchRunner(path, manifest, threads=threads, device="cpu")

    return open_runner


@contextlib.contextmanager
def _temporary_file(data: bytes) -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portable.pte"
        path.write_bytes(data)
        yield path


def _trace(network: nn.Module, spec: ExportSpec, *, half: bool = False) -> ExportedProgram:
    """The traced network; for XNNPACK without nearest-neighbour enlargement, which it lacks."""
    torch = require("torch", extra="export-executorch")
    image = (torch.zeros(1, 3, *spec.size),)
    with suppress_output():
        program = torch.export.export(network, image)
        if spec.options["backend"] != "xnnpack":
            return program
        enlarged = with_transposed_upsampling(program.module())
        return torch.export.export(half_module(enlarged) if half else enlarged, image)


_BACKEND = Option(
    "--backend",
    "what the program is lowered to: xnnpack (CPUs), vulkan (Android GPUs), coreml (Apple "
    "devices) or portable (ExecuTorch's own kernels, slow) (default: xnnpack)",
    parse=backend_name,
    default="xnnpack",
    metavar="NAME",
    tunable=False,
)
_CONVERT = {"fp32": convert_fp32, "fp16": convert_fp16, "int8": convert_int8}
_BUILD = ("torch", "executorch")


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    return Target(
        name=f"executorch-{precision}",
        format="executorch",
        precision=precision,
        suffix=".pte",
        extra="export-executorch",
        build_modules=(*_BUILD, "torchao") if precision == "int8" else _BUILD,
        run_modules=("executorch",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        options=(_BACKEND,),
        free_size=False,
        # XNNPACK rounds what the depthwise half gives even if the pointwise one reads float.
        recipe=with_whole_blocks if precision == "int8" else None,
    )


register(_target("fp32", "ExecuTorch program, float32, for XNNPACK unless told otherwise", 80.0))
register(
    _target(
        "fp16", "ExecuTorch program for XNNPACK, float16 arithmetic, float input and output", 50.0
    )
)
register(
    _target("int8", "ExecuTorch program for XNNPACK, int8 weights and activations, float input and "
            "output", INT8_TOLERANCE_DB)
)  # fmt: skip
