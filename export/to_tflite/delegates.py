"""Which operators of a .tflite file each delegate supports; the others fall back to the CPU.

- ``xnnpack`` (CPU): reported by the installed LiteRT.
- ``gpu``: by the rules of LiteRT's own check, ``CheckGpuDelegateCompatibility`` in
  tensorflow/lite/tools/versioning/gpu_compatibility.cc. GPUs compute in half precision, so
  sums over whole pictures are refused here although the delegate supports them.
- ``nnapi`` (NPUs and DSPs by way of Android's NNAPI 1.3, Android 11): by the operators and versions
  that ``NNAPIDelegateKernel::Validate`` in tensorflow/lite/delegates/nnapi/nnapi_delegate.cc
  accepts. A phone's driver may still refuse some.

Only xnnpack is checked by running it; the rules of the others come from those files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtimes.run_tflite.runner import interpreters
from ...runtimes.run_tflite.tflite_file import TfliteFile
from ...runtimes.sdk_errors import suppress_native_stderr

DELEGATES = ("xnnpack", "gpu", "nnapi")
_GPU = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
     "DEQUANTIZE", "FULLY_CONNECTED", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM",
     "MAX_POOL_2D", "MINIMUM", "MUL", "PAD", "PRELU", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1",
     "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
     "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"}
)  # fmt: skip
# Operator -> the newest version that NNAPI's delegate supports.
_NNAPI = {
    "ADD": 2, "CONCATENATION": 2, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 3, "DEPTH_TO_SPACE": 2,
    "DEQUANTIZE": 2, "LOGISTIC": 2, "MUL": 2, "PAD": 2, "QUANTIZE": 2, "RELU": 2, "RELU6": 2,
    "RELU_N1_TO_1": 2, "RESHAPE": 1, "RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3,
    "SLICE": 2, "SPACE_TO_DEPTH": 2, "SUB": 3, "TANH": 2, "TRANSPOSE": 2, "TRANSPOSE_CONV": 3,
}  # fmt: skip
_REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"})
_TYPES = frozenset({"float32", "float16", "int8", "uint8"})
_MAX_RANK = 4


@dataclass(frozen=True)
class OperatorCheck:
    """One operator, and why delegates refuse it.

    Attributes:
        kind: ``CONV_2D``, ...
        name: The tensor that it writes.
        shape: That tensor's shape.
        dtype: That tensor's type.
        refused: Delegate -> reason.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    refused: dict[str, str]


def check_operators(path: Path) -> list[OperatorCheck]:
    """Every operator of the file, in execution order.

    Raises:
        OSError, ValueError: not a readable TFLite file.
        MissingDependencyError: LiteRT is not installed.
    """
    file = TfliteFile.read(path)
    undelegated = _outside_xnnpack(file, path)
    checks: list[OperatorCheck] = []
    for operator in file.operators:
        written = int(operator.outputs[0])
        reasons = {
            "xnnpack": "runs on LiteRT's own kernel" if written in undelegated else None,
            "gpu": _gpu_refusal(file, operator),
            "nnapi": _nnapi_refusal(file, operator),
        }
        checks.append(
            OperatorCheck(
                kind=file.kind(operator),
                name=file.name(written),
                shape=file.shape(written),
                dtype=file.dtype(written),
                refused={name: reason for name, reason in reasons.items() if reason is not None},
            )
        )
    return checks


def require_delegate(checks: Sequence[OperatorCheck], delegate: str) -> None:
    """Raise unless the delegate supports every operator.

    Raises:
        ValueError: the message lists the operators that fall back, and why.
    """
    undelegated = [check for check in checks if delegate in check.refused]
    if not undelegated:
        return
    counts = Counter((check.kind, check.refused[delegate]) for check in undelegated)
    listed = "; ".join(f"{count} {kind} ({why})" for (kind, why), count in counts.items())
    raise ValueError(
        f"{len(undelegated)} of {len(checks)} operators fall back from {delegate}: {listed}; "
        "try another --rewrite"
    )


def summary(checks: Sequence[OperatorCheck]) -> str:
    """``xnnpack 118 of 125 (not RESIZE_NEAREST_NEIGHBOR), gpu all, nnapi all``."""
    parts: list[str] = []
    for delegate in DELEGATES:
        undelegated = [check.kind for check in checks if delegate in check.refused]
        kinds = ", ".join(dict.fromkeys(undelegated))
        accepted = (
            f"{len(checks) - len(undelegated)} of {len(checks)} (not {kinds})"
            if undelegated
            else "all"
        )
        parts.append(f"{delegate} {accepted}")
    return ", ".join(parts)


def _gpu_refusal(file: TfliteFile, operator: Any) -> str | None:  # noqa: ANN401
    kind = file.kind(operator)
    if kind in _REDUCTIONS:
        return "sums whole pictures, which overflows half precision"
    if kind not in _GPU:
        return "not in the GPU delegate's list"
    if kind == "SPLIT" and len(operator.inputs) != 2:
        return "more than one runtime input"
    return _tensor_refusal(file, operator)


def _nnapi_refusal(file: TfliteFile, operator: Any) -> str | None:  # noqa: ANN401
    kind = file.kind(operator)
    if kind not in _NNAPI:
        return "not in the NNAPI delegate's list"
    if kind != "DEQUANTIZE" and file.version(operator) > _NNAPI[kind]:
        return f"version {file.version(operator)}, NNAPI takes {_NNAPI[kind]}"
    return _tensor_refusal(file, operator)


def _tensor_refusal(file: TfliteFile, operator: Any) -> str | None:  # noqa: ANN401
    """Why no phone delegate supports the tensors: over four dimensions, or wide integers."""
    consumed = [int(t) for t in operator.inputs if t >= 0 and not file.is_constant(int(t))]
    for tensor in (*consumed, *(int(t) for t in operator.outputs)):
        if len(file.shape(tensor)) > _MAX_RANK:
            return f"{len(file.shape(tensor))} dimensions"
        if file.dtype(tensor) not in _TYPES:
            return f"{file.dtype(tensor)} tensors"
    return None


def _outside_xnnpack(file: TfliteFile, path: Path) -> set[int]:
    """Tensors written by operators that LiteRT runs without XNNPACK.

    The interpreter lists each delegated partition as one operator with its inputs and outputs. An
    operator is outside all partitions if a partition or another outside operator reads its output
    and no partition produces it.
    """
    with suppress_native_stderr():
        interpreter = interpreters().Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        details = interpreter._get_ops_details()
    partitions = [entry for entry in details if entry["op_name"] == "DELEGATE"]
    consumed = {int(tensor) for part in partitions for tensor in part["inputs"]}
    produced = {int(tensor) for part in partitions for tensor in part["outputs"]}
    read_outside = {int(tensor) for tensor in file.graph.outputs}
    undelegated: set[int] = set()
    for operator in reversed(file.operators):
        written = {int(tensor) for tensor in operator.outputs}
        if not written & produced and written & (consumed | read_outside):
            undelegated |= written
            read_outside |= {int(tensor) for tensor in operator.inputs}
    return undelegated
