"""Lowers a traced network to an ExecuTorch backend and writes the program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...runtimes.optional import require
from ...runtimes.sdk_errors import suppress_output

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_EXTRA = "export-executorch"


def _xnnpack() -> list[Any]:
    partition = require("executorch.backends.xnnpack.partition.xnnpack_partitioner", extra=_EXTRA)
    return [partition.XnnpackPartitioner()]


def _vulkan() -> list[Any]:
    module = require("executorch.backends.vulkan.partitioner.vulkan_partitioner", extra=_EXTRA)
    return [module.VulkanPartitioner()]


def _coreml() -> list[Any]:
    tools = require("coremltools", extra=_EXTRA)
    compiler = require("executorch.backends.apple.coreml.compiler", extra=_EXTRA)
    partition = require("executorch.backends.apple.coreml.partition", extra=_EXTRA)
    specs = compiler.CoreMLBackend.generate_compile_specs(
        compute_precision=tools.precision.FLOAT32  # float16 is what it takes by itself
    )
    return [partition.CoreMLPartitioner(compile_specs=specs)]


def _portable() -> list[Any]:
    return []


PARTITIONERS: dict[str, Callable[[], list[Any]]] = {
    "xnnpack": _xnnpack,
    "vulkan": _vulkan,
    "coreml": _coreml,
    "portable": _portable,
}
# Why the others that ExecuTorch names cannot be chosen.
REFUSED = {
    "mps": "the executorch package has no such backend; use coreml",
    "qnn": "it needs Qualcomm's AI Engine Direct SDK, which is no Python package",
    "mediatek": "it needs MediaTek's NeuroPilot SDK, which is no Python package",
    "samsung": "it needs Samsung's Exynos AI LiteCore SDK, which is no Python package",
    "ethos-u": "it needs Arm's Vela compiler and is for microcontrollers",
    "openvino": "on a computer use the openvino targets",
    "cuda": "on an NVIDIA GPU use the trt targets",
}


def backend_name(text: str) -> str:
    """A backend that can be lowered to here.

    Raises:
        argparse.ArgumentTypeError: another name; the message gives the reason.
    """
    if text in PARTITIONERS:
        return text
    reason = f": {REFUSED[text]}" if text in REFUSED else ""
    raise argparse.ArgumentTypeError(
        f"cannot lower to {text!r}{reason}. Known: {', '.join(PARTITIONERS)}"
    )


def lower(program: ExportedProgram, backend: str, texts: dict[str, str]) -> bytes:
    """The bytes of a ``.pte`` file; what the backend does not support runs in portable kernels.

    Args:
        program: The traced network.
        backend: A name of `PARTITIONERS`.
        texts: To store inside, by method name.
    """
    with suppress_output():
        exir = require("executorch.exir", extra=_EXTRA)
        edge = exir.to_edge_transform_and_lower(
            program, partitioner=PARTITIONERS[backend](), constant_methods=dict(texts)
        )
        return bytes(edge.to_executorch().buffer)
