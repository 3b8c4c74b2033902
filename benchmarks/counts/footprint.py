"""Bytes, parameters and operations of an artifact; `counts` has the conventions."""

from __future__ import annotations

from pathlib import Path

from ...runtimes.artifact import Manifest
from ...runtimes.files import size_of
from ..result import Footprint
from .counts import Counts

CHECKPOINT_SUFFIXES = (".safetensors", ".h5", ".pth", ".pt")


def measure_footprint(path: Path, manifest: Manifest, size: tuple[int, int]) -> Footprint:
    """Count one artifact or checkpoint.

    Args:
        path: The file.
        manifest: Its manifest; used for the numbers only where the format cannot be read.
        size: (height, width) to count at; a fixed artifact must have this size.

    Raises:
        ValueError: the graph cannot be counted, or its fixed size is another.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from .onnx_counts import count_onnx

        return _footprint(path, size, count_onnx(path, size), "graph")
    if suffix == ".tflite":
        from .tflite_counts import count_tflite

        if manifest.input.size != tuple(size):
            raise ValueError(f"{path}: has the fixed size {manifest.input.size}, not {size}")
        return _footprint(path, size, count_tflite(path), "graph")
    if suffix == ".ncnn":
        from .ncnn_counts import count_ncnn

        return _footprint(path, size, count_ncnn(path, size), "graph")
    if suffix in CHECKPOINT_SUFFIXES:
        from .module_counts import count_checkpoint

        return _footprint(path, size, count_checkpoint(path, size, norm=manifest.norm), "module")
    # Formats without a counter yet: what the export counted, if it counted at this size.
    if manifest.macs is None or manifest.macs_size is None:
        raise ValueError(
            f"{path}: operations in {suffix} files cannot be counted, and its manifest "
            "does not hold them; export it again"
        )
    counted = manifest.macs if tuple(manifest.macs_size) == tuple(size) else None
    return Footprint(
        bytes=size_of(path),
        params=manifest.params,
        size=size,
        macs=counted,
        flops=None if counted is None else 2 * counted,
        macs_elementwise=None,
        macs_paper=None,
        counted_from="manifest",
    )


def _footprint(path: Path, size: tuple[int, int], counts: Counts, origin: str) -> Footprint:
    return Footprint(
        bytes=size_of(path),
        params=counts.params,
        size=size,
        macs=counts.macs,
        flops=2 * counts.macs,
        macs_elementwise=counts.macs_elementwise,
        macs_paper=counts.macs_paper,
        counted_from=origin,
        bytes_moved=counts.bytes_moved,
    )
