"""Frees the batch size of a graph, which Triton's dynamic batching needs; artifacts have one.

Done to a copy, and checked: two different pictures in one batch come out as each does alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ...runtimes.artifact import Manifest
from ...runtimes.optional import require
from ...runtimes.pictures.sample_inputs import load_sample_inputs

# On values in [-1, 1]: a convolution may add up in another order for another batch size. 2e-3 is
# a quarter of one of 256 grey levels, and bf16 rounds coarser than that between layers.
TOLERANCE = 2e-3
_NAME = "batch"


def free_onnx(source: Path, target: Path, manifest: Manifest) -> None:
    """Write ``source`` to ``target`` with a free batch size.

    Raises:
        ValueError: two pictures in a batch come out otherwise than alone.
        MissingDependencyError: onnx or ONNX Runtime is not installed.
    """
    onnx = require("onnx", extra="export-onnx")
    model = onnx.load(str(source))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _NAME
    del model.graph.value_info[:]  # shapes of the batch of one, all along the graph
    onnx.save(model, str(target))
    session = require("onnxruntime", extra="onnxruntime").InferenceSession
    run = session(str(target), providers=["CPUExecutionProvider"]).run
    _check(lambda batch: run(None, {manifest.input.name: batch})[0], source, manifest)


def free_openvino(source: Path, target: Path, manifest: Manifest) -> None:
    """Write a folder's graph to ``target``, a ``model.xml``, with a free batch size.

    Raises:
        ValueError: two pictures in a batch come out otherwise than alone.
        MissingDependencyError: OpenVINO is not installed.
    """
    openvino = require("openvino", extra="openvino")
    core = openvino.Core()
    model = core.read_model(str(openvino_graph(source)))
    first: Any = model.inputs[0].partial_shape
    first[0] = -1
    model.reshape(first)
    openvino.save_model(model, str(target), compress_to_fp16=False)  # weights stay as they are
    compiled = core.compile_model(str(target), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    _check(lambda batch: np.array(compiled({0: batch})[0]), source, manifest)


def copy_openvino(source: Path, target: Path) -> None:
    """Write a folder's graph to ``target``, a ``model.xml``, as it is."""
    graph = openvino_graph(source)
    if graph.suffix == ".xml":
        shutil.copyfile(graph, target)
        shutil.copyfile(graph.with_suffix(".bin"), target.with_suffix(".bin"))
        return
    openvino = require("openvino", extra="openvino")
    model = openvino.Core().read_model(str(graph))
    openvino.save_model(model, str(target), compress_to_fp16=False)


def openvino_graph(folder: Path) -> Path:
    """``model.xml``, or ``model.onnx`` where the folder has that instead."""
    quantised = folder / "model.onnx"
    return quantised if quantised.exists() else folder / "model.xml"


def _check(run: Any, source: Path, manifest: Manifest) -> None:  # noqa: ANN401 - a function
    size = manifest.input.size or (4 * manifest.size_multiple, 4 * manifest.size_multiple)
    multiple = manifest.size_multiple
    samples = load_sample_inputs(size, multiple, dynamic=False, count=2)
    batch = np.concatenate([sample.image for sample in samples])
    alone = np.concatenate([run(sample.image) for sample in samples])
    together = run(batch)
    apart = float(np.abs(together - alone).max()) if together.shape == alone.shape else np.inf
    if not apart <= TOLERANCE:  # NaN compares false
        raise ValueError(
            f"{source}: two pictures in one batch differ by {apart:.3g} from each alone; "
            "use --triton-batch 1"
        )
