"""Writes an artifact into a Triton model repository: the network, and the model for pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ...runtimes.artifact import Manifest, manifest_path, manifest_text
from ...runtimes.files import check_absent, replacing_all
from ...runtimes.for_triton.model_config import MANIFEST
from ...runtimes.run_tensorrt.sdk import read_header
from .configs import (
    FILES,
    ONNX,
    OPENVINO,
    PYTHON,
    TENSORRT,
    TritonOptions,
    network_config,
    pictures_config,
)
from .free_batch import copy_openvino, free_onnx, free_openvino
from .pbtxt import to_pbtxt

PICTURES = "_pictures"  # added to the network's name
_VERSION = "1"
_HEAD = "# Written by deblur-export; what it cannot know is where it will run.\n"
_MODEL = '''"""{about}; the code is edgedeblur's, which Triton's Python must be able to import."""

from edgedeblur.runtimes.for_triton.{module} import {name} as TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def write_models(
    artifact: Path, manifest: Manifest, options: TritonOptions, *, force: bool
) -> tuple[Path, Path]:
    """Add an artifact's two models to the repository: both, or neither.

    Args:
        artifact: The file or folder, just exported.
        manifest: Its manifest.
        options: See `TritonOptions`.
        force: Replace models of the same name.

    Returns:
        The folders of the network's model and of the pictures' model.

    Raises:
        FileExistsError: a model of that name exists, and ``force`` is not given.
        ValueError: the graph does not take a batch, or the plan is for another runtime.
        OSError: the repository cannot be written.
    """
    network = options.repository / artifact.stem
    pictures = network.with_name(network.name + PICTURES)
    for folder in (network, pictures):
        check_absent(folder, force=force)
    _check_plan(artifact, options)
    with replacing_all((network, pictures)) as (network_draft, pictures_draft):
        _write_network(network_draft, artifact, manifest, options)
        _write_pictures(pictures_draft, network.name, artifact, manifest, options)
    return network, pictures


def _write_network(
    folder: Path, artifact: Path, manifest: Manifest, options: TritonOptions
) -> None:
    version = _version(folder, network_config(folder.name, artifact, manifest, options))
    backend = options.backend_for(artifact)
    batched = options.batch_for(artifact) > 1
    graph = version / FILES[backend]
    writers: dict[str, Callable[[], object]] = {
        ONNX: lambda: (
            free_onnx(artifact, graph, manifest) if batched else shutil.copyfile(artifact, graph)
        ),
        OPENVINO: lambda: (
            free_openvino(artifact, graph, manifest) if batched else copy_openvino(artifact, graph)
        ),
        TENSORRT: lambda: shutil.copyfile(artifact, graph),
        PYTHON: lambda: _write_python_network(version, artifact, manifest),
    }
    writers[backend]()


def _write_python_network(version: Path, artifact: Path, manifest: Manifest) -> None:
    """The artifact with its manifest, which a runner opens, and the model that opens it."""
    copy = version / artifact.name
    if artifact.is_dir():
        shutil.copytree(artifact, copy)
    else:
        shutil.copyfile(artifact, copy)
    manifest_path(copy).write_text(manifest_text(manifest), encoding="utf-8")
    about = f"The network of {artifact.name}"
    _write_model(version, about=about, module="network", name="NetworkModel")


def _write_pictures(
    folder: Path, network: str, artifact: Path, manifest: Manifest, options: TritonOptions
) -> None:
    version = _version(folder, pictures_config(folder.name, network, artifact, options))
    (version / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    about = f"Pictures of any size through {network}"
    _write_model(version, about=about, module="pictures", name="PicturesModel")


def _version(folder: Path, config: dict[str, object]) -> Path:
    """Make a model's folder with its configuration; its first version is empty."""
    version = folder / _VERSION
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_HEAD + to_pbtxt(config), encoding="utf-8")
    return version


def _write_model(version: Path, **words: str) -> None:
    (version / FILES[PYTHON]).write_text(_MODEL.format(**words), encoding="utf-8")


def _check_plan(artifact: Path, options: TritonOptions) -> None:
    """Triton's backend opens TensorRT's plans, not those of TensorRT for RTX."""
    if options.backend_for(artifact) != TENSORRT:
        return
    header = read_header(artifact)
    if header.sdk != "tensorrt":
        raise ValueError(
            f"{artifact}: a plan of {header}, which Triton does not open; build it with "
            "--trt tensorrt, in the version that the server has"
        )
