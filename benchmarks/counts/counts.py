"""Parameters and operations of a network, and the conventions by which they are counted.

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
    graphs without Q/DQ pairs have it.

The DeblurGAN-v2 paper's 43.75 G and 14.83 G (736x1280) come near only with the backbone counted
twice: the reference code registers it under two names (``fpn.features`` and ``fpn.encK``), and
ptflops sums over a module's children. That is ``macs_paper``; it is off by 1.4 % and 1.1 %.
A graph no longer says which nodes were the backbone, so only checkpoints have it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Operations for batch 1, and parameters; the module's docstring has the conventions."""

    params: int
    macs: int
    macs_elementwise: int
    macs_paper: int | None = None
    bytes_moved: int | None = None
