"""Opens artifacts and checkpoints for reading their layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.artifact import Manifest
from ...runtimes.files import sha256_of
from ...runtimes.optional import require
from .taps import Taps

if TYPE_CHECKING:
    from ...models.checkpoints.checkpoint import Checkpoint
    from .torch_taps import TorchTaps

FORMATS = (".onnx", ".openvino", ".tflite", ".mlpackage")


def reference_of(manifest: Manifest, checkpoint: Checkpoint, size: tuple[int, int]) -> TorchTaps:
    """The network in PyTorch as it was handed to the exporter: norms folded, rewritten alike.

    Raises:
        ValueError: weights of another network.
    """
    from ..prepare import prepare
    from ..rewrites.rewrite import apply_rewrites, parse_steps
    from .torch_taps import TorchTaps

    if checkpoint.network != manifest.network:
        raise ValueError(
            f"the checkpoint is of {checkpoint.network}, the artifact of {manifest.network}"
        )
    graph = prepare(checkpoint, norm=manifest.norm)
    steps = parse_steps(",".join(manifest.rewrites) or "none")
    return TorchTaps(apply_rewrites(graph, steps), size)


def checkpoint_of(manifest: Manifest, path: Path, given: str | None) -> Checkpoint:
    """The checkpoint to compare with: the one that is named, or else the manifest's source.

    Raises:
        FileNotFoundError, ValueError: it cannot be read, or the source has changed.
    """
    from ...models.checkpoints.checkpoint import load_checkpoint
    from ...models.checkpoints.sources import resolve_source

    if given is not None:
        return load_checkpoint(given, backbone=manifest.backbone)
    wanted = manifest.checkpoint
    try:
        file = resolve_source(wanted.source)
        if sha256_of(file) == wanted.sha256:
            return load_checkpoint(wanted.source, backbone=manifest.backbone)
        reason = f"{wanted.source} has another SHA-256"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise ValueError(
        f"{path}: the checkpoint it was made from (SHA-256 {wanted.sha256[:12]}...) was not found "
        f"({reason}); pass it with --against FILE"
    )


def open_taps(
    path: Path,
    manifest: Manifest,
    layers: tuple[str, ...],
    *,
    threads: int,
    typed: Path | None = None,
) -> Taps:
    """An artifact's layers.

    Args:
        path: The artifact.
        manifest: Its manifest.
        layers: Names that the other side has; formats that alter names look for these.
        threads: CPU threads.
        typed: For a TensorRT engine, the ONNX graph it was built from.

    Raises:
        FileNotFoundError: no such typed graph.
        ValueError: a format whose layers cannot be read, or another engine's typed graph.
        MissingDependencyError: its runtime is not installed.
    """
    from .onnx_taps import OnnxTaps

    if path.suffix == ".onnx":
        return OnnxTaps(require("onnx", extra="export-onnx").load(str(path)), threads=threads)
    if path.suffix == ".openvino":
        if (path / "model.onnx").is_file():
            model = require("onnx", extra="export-onnx").load(str(path / "model.onnx"))
            return OnnxTaps(model, runtime="openvino", threads=threads)
        from .openvino_taps import OpenvinoTaps

        return OpenvinoTaps(path / "model.xml", threads=threads)
    if path.suffix == ".tflite":
        from .tflite_taps import TfliteTaps

        return TfliteTaps(path, threads=threads)
    if path.suffix == ".mlpackage":
        from .coreml_taps import CoremlTaps

        return CoremlTaps(path, layers, pixels=manifest.input.dtype == "uint8")
    if path.suffix == ".plan":
        return _typed_taps(path, manifest, typed, threads)
    raise ValueError(f"{path}: layers can be read of {', '.join(FORMATS)} only")


def _typed_taps(path: Path, manifest: Manifest, typed: Path | None, threads: int) -> Taps:
    """The graph that an engine was built from; a builder fuses layers and hides their outputs."""
    from .onnx_taps import OnnxTaps

    if typed is None:
        raise ValueError(
            f"{path}: an engine's layers are fused; pass the graph that it was built from with "
            "--typed-graph FILE.onnx (deblur-export --keep-onnx FILE.onnx writes it)"
        )
    if not typed.is_file():
        raise FileNotFoundError(f"{typed}: no such file; deblur-export --keep-onnx writes it")
    wanted = (manifest.engine or {}).get("source_sha256")  # None in older manifests
    if wanted is not None and sha256_of(typed) != wanted:
        raise ValueError(f"{typed}: not the graph that {path} was built from")
    return OnnxTaps(require("onnx", extra="export-onnx").load(str(typed)), threads=threads)
