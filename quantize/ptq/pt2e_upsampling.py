"""Nearest-neighbour enlargement in a traced network, as transposed convolutions.

XNNPACK has no nearest-neighbour operator: ExecuTorch would run each in its portable kernels, on one
thread, and cut the program into parts. Copying a pixel to r x r places is a transposed convolution
of kernel and stride r whose weight is the identity between channels at each place: every output is
1 times one value plus 0 times finite others, so the result is exact in float32. XNNPACK computes
it as r * r matrix products; one depthwise convolution would have less to multiply, but XNNPACK
runs groups of a transposed convolution one by one, ten times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...runtimes.optional import require

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule, Node

_EXTRA = "export-executorch"
_NEAREST = "aten.upsample_nearest2d.vec"
COPIES = "enlarge_by_2_"  # names of the weights: followed by the number of channels


def with_transposed_upsampling(traced: GraphModule) -> GraphModule:
    """The same module, changed: each enlargement by a power of 2 becomes steps of 2.

    Args:
        traced: From ``torch.export.export(...).module()``.
    """
    torch = require("torch", extra=_EXTRA)
    for node in list(traced.graph.nodes):
        factor = _factor(node)
        if factor is None:
            continue
        value = node.args[0]
        channels = int(value.meta["val"].shape[1])
        name = f"{COPIES}{channels}"
        if not hasattr(traced, name):
            traced.register_buffer(name, identity_kernel(channels))
        with traced.graph.inserting_before(node):
            # Quantisers read the shapes that tracing noted.
            seen = value.meta["val"]
            weight = traced.graph.get_attr(name)
            weight.meta["val"] = seen.new_empty((channels, channels, 2, 2))
            while factor > 1:
                arguments = (value, weight, None, [2, 2])
                value = traced.graph.call_function(torch.ops.aten.conv_transpose2d.input, arguments)
                seen = seen.new_empty((*seen.shape[:2], *(2 * side for side in seen.shape[2:])))
                value.meta["val"] = seen
                factor //= 2
        node.replace_all_uses_with(value)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced


def identity_kernel(channels: int) -> Tensor:
    """float32 (channels, channels, 2, 2) of a transposed convolution that copies pixels."""
    torch = require("torch", extra=_EXTRA)
    return torch.eye(channels)[:, :, None, None].expand(-1, -1, 2, 2).contiguous()


def is_copy(node: Node) -> bool:
    """Whether a node is one of these convolutions."""
    is_call = node.op == "call_function" and "conv_transpose2d" in str(node.target)
    return is_call and str(getattr(node.args[1], "target", "")).startswith(COPIES)


def _factor(node: Node) -> int | None:
    """By what a node enlarges, if that is a power of 2 in both directions; else None."""
    if str(node.target) != _NEAREST:
        return None
    before, after = (_sides(each) for each in (node.args[0], node))
    factor = after[0] // before[0]
    exact = after == (before[0] * factor, before[1] * factor)
    return factor if exact and factor > 1 and factor & (factor - 1) == 0 else None


def _sides(node: Any) -> tuple[int, int]:  # noqa: ANN401
    height, width = node.meta["val"].shape[2:]
    return int(height), int(width)
