"""The configurations of a network's model and of its pictures' model, as Triton reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtimes.artifact import Manifest, TensorSpec
from .pbtxt import Word

ONNX, OPENVINO, TENSORRT, PYTHON = "onnxruntime", "openvino", "tensorrt", "python"
BACKENDS = {".onnx": ONNX, ".openvino": OPENVINO, ".plan": TENSORRT}
# Where Triton looks for the graph of each backend.
FILES = {ONNX: "model.onnx", OPENVINO: "model.xml", TENSORRT: "model.plan", PYTHON: "model.py"}
_KINDS = {ONNX: "KIND_AUTO", OPENVINO: "KIND_CPU", TENSORRT: "KIND_GPU", PYTHON: "KIND_CPU"}
_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8"}
# How long the first tile of a batch waits for others; a tile takes milliseconds on a GPU.
_QUEUE_DELAY_US = 2000
_MOST_PIXELS = 50_000_000


@dataclass(frozen=True)
class TritonOptions:
    """How a repository is to be served.

    Attributes:
        repository: The folder of all models.
        batch: Most tiles of one batch; 1 for none. Plans are built for one.
        instances: Copies of the network on each device, and of the pictures' model.
        python: Infer with a runner of this package in Triton's Python backend, for a server
            without the format's own.
        threads: CPU threads of each copy of the network.
    """

    repository: Path
    batch: int = 4
    instances: int = 1
    python: bool = False
    threads: int = 1

    def backend_for(self, artifact: Path) -> str:
        """The backend of the network's model."""
        return PYTHON if self.python else BACKENDS.get(artifact.suffix, PYTHON)

    def batch_for(self, artifact: Path) -> int:
        """The largest batch: more than one only where `free_batch` makes the graph take it."""
        return self.batch if self.backend_for(artifact) in (ONNX, OPENVINO) else 1


def network_config(
    name: str, artifact: Path, manifest: Manifest, options: TritonOptions
) -> dict[str, Any]:
    """The network's model: tensors in, tensors out, as the manifest describes them.

    In Triton's Python backend they are float32 NCHW, as for `Runner.infer`.
    """
    backend = options.backend_for(artifact)
    batch = options.batch_for(artifact)
    given, got = manifest.input, manifest.output
    if backend == PYTHON:
        given, got = (TensorSpec(t.name, _free_shape(t), "float32") for t in (given, got))
    batched = batch > 1
    config: dict[str, Any] = {
        "name": name,
        "backend": backend,
        "default_model_filename": FILES[backend],
        "max_batch_size": batch if batched else 0,  # 0: the batch is part of the shape
        "input": [_tensor(given, batched=batched)],
        "output": [_tensor(got, batched=batched)],
        "instance_group": [{"count": options.instances, "kind": Word(_KINDS[backend])}],
        "response_cache": {"enable": False},  # pictures do not repeat
        "model_warmup": [_warmup(given, manifest, batched=batched)],
    }
    if batched:
        config["dynamic_batching"] = {"max_queue_delay_microseconds": _QUEUE_DELAY_US}
    config["parameters"] = _parameters(
        {
            ONNX: {"intra_op_thread_count": options.threads, "inter_op_thread_count": 1},
            OPENVINO: {"INFERENCE_NUM_THREADS": options.threads, "PERFORMANCE_HINT": "LATENCY"},
            TENSORRT: {},
            PYTHON: {"artifact": artifact.name, "threads": options.threads},
        }[backend]
    )
    return config


def pictures_config(
    name: str, network: str, artifact: Path, options: TritonOptions
) -> dict[str, Any]:
    """The pictures' model: whole files in and out, in the Python backend."""
    tensors = "float" if options.backend_for(artifact) == PYTHON else "artifact"
    text = {"data_type": Word("TYPE_STRING"), "dims": [1]}
    return {
        "name": name,
        "backend": PYTHON,
        "default_model_filename": FILES[PYTHON],
        "max_batch_size": 0,
        "input": [
            {"name": "PICTURE", **text},
            {"name": "FORMAT", **text, "optional": True},
            {
                "name": "QUALITY",
                "data_type": Word("TYPE_INT32"),
                "dims": [1],
                "optional": True,
            },
        ],
        "output": [{"name": "PICTURE", **text}],
        "instance_group": [{"count": options.instances, "kind": Word("KIND_CPU")}],
        "response_cache": {"enable": False},
        "parameters": _parameters(
            {
                "network": network,
                "tensors": tensors,
                "quality": 95,
                "most_pixels": _MOST_PIXELS,
            }
        ),
    }


def _tensor(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    dims = [side if isinstance(side, int) else -1 for side in spec.shape]
    return {
        "name": spec.name,
        "data_type": Word(_TYPES[spec.dtype]),
        "dims": dims[1:] if batched else dims,
    }


def _free_shape(spec: TensorSpec) -> tuple[int | str, ...]:
    """The shape as NCHW."""
    return tuple(spec.shape[spec.layout.index(axis)] for axis in "NCHW")


def _warmup(spec: TensorSpec, manifest: Manifest, *, batched: bool) -> dict[str, Any]:
    """One mid-grey tile: the first request of a server would otherwise pay for its start."""
    free = max(manifest.smallest_side or 0, 8 * manifest.size_multiple)
    dims = [side if isinstance(side, int) else free for side in spec.shape]
    tensor = {
        "data_type": Word(_TYPES[spec.dtype]),
        "dims": dims[1:] if batched else dims,
        "zero_data": True,
    }
    return {
        "name": "grey",
        "batch_size": 1 if batched else 0,
        "inputs": [{"key": spec.name, "value": tensor}],
    }


def _parameters(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"string_value": str(value)}} for key, value in values.items()]
