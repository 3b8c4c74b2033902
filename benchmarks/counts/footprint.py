"""Bytes, parameters and operations of an artifact, counted from what it holds.

Conventions, for batch 1:

``macs``
    Multiply-adds of convolutions, transposed convolutions and matrix products alone. Taps that
    fall on padding count. FLOPs are twice that.
``macs_elementwise``
    ``macs`` plus element-wise work in ptflops' manner (github.com/sovrasov/flops-counter.pytorch,
    ptflops/pytorch_ops.py at d612c75): 1 per output element for a bias, an activation, an
    addition or multiplication and an enlargement; per input element 1 for pooling and for a norm,
    2 for a norm with affine part. ptflops itself sees additions only when they are spelled
    ``torch.add`` and misses tanh and clamp; counting them adds 0.1 %.

``bytes_moved``
    Every node's inputs, weights and output, once each, in the graph's own precision; activations
    (Relu, Clip) are free, as runtimes fuse them. An upper bound of the traffic, since caches and
    further fusions spare some of it; its use is comparing two graphs of one network. Only ONNX
    graphs without Q/DQ pairs tell.

The DeblurGAN-v2 paper's 43.75 G and 14.83 G (736x1280) come near only with the backbone counted
twice: the reference code registers it under two names (``fpn.features`` and ``fpn.encK``), and
ptflops sums over a module's children. That is ``macs_paper``; it is off by 1.4 % and 1.1 %.
A graph no longer says which nodes were the backbone, so only checkpoints have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...runtimes.artifact import Manifest
from ...runtimes.files import size_of
from ..result import Footprint

CHECKPOINT_SUFFIXES = (".safetensors", ".h5", ".pth", ".pt")


@dataclass(frozen=True)
class Counts:
    """Operations for batch 1, and parameters; see the module's text for the conventions."""

    params: int
    macs: int
    macs_elementwise: int
    macs_paper: int | None = None
    bytes_moved: int | None = None


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
    if suffix in CHECKPOINT_SUFFIXES:
        from .module_counts import count_checkpoint

        return _footprint(path, size, count_checkpoint(path, size, norm=manifest.norm), "module")
    # Formats without a counter yet: what the export wrote down, if it did for this size.
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
