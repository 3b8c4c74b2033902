"""Layer outputs of a prepared network in PyTorch."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.checkpoints.layer_names import layer_name
from .taps import Outputs

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from ..graph import Graph

_CONVOLUTIONS = ("conv2d", "conv_transpose2d", "convolution")
_BEHIND = ("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "pixel_shuffle")


class TorchTaps:
    """Runs the network node by node, by its exported graph, and keeps what is asked for.

    Args:
        graph: From `prepare` and `apply_rewrites`.
        size: (height, width) to trace at.
    """

    def __init__(self, graph: Graph, size: tuple[int, int]) -> None:
        import torch

        with torch.no_grad():
            program = torch.export.export(graph.module, (torch.zeros(1, 3, *size),))
        self._module: GraphModule = program.module()  # pyright: ignore[reportAttributeAccessIssue]
        self._nodes = _layer_nodes(self._module)

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order of execution."""
        return tuple(self._nodes)

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The layers that each layer reads, directly or through operations that are no layer."""
        owners = {node: layer for layer, node in self._nodes.items()}
        return {layer: _feeding(node, owners) for layer, node in self._nodes.items()}

    def run(self, image: np.ndarray, wanted: Collection[str]) -> Outputs:
        """See `Taps.run`."""
        import torch
        from torch import fx

        kept: dict[Node, str] = {self._nodes[layer]: layer for layer in wanted}
        found: Outputs = {}

        class Keeping(fx.Interpreter):
            def run_node(self, n: Node) -> Any:  # noqa: ANN401 - any value of the graph
                value = super().run_node(n)
                if n in kept:
                    found[kept[n]] = value.detach().numpy().astype(np.float32, copy=True)
                return value

        with torch.no_grad():
            Keeping(self._module).run(torch.from_numpy(image))
        return found


def _layer_nodes(module: GraphModule) -> dict[str, Node]:
    """Layer -> the node of its output, behind its activation or pixel shuffle."""
    found: dict[str, Node] = {}
    for node in module.graph.nodes:
        if _name(node) in _CONVOLUTIONS:
            weight = node.args[1]
            found[layer_name(str(weight.target))] = _behind(node)
    return found


def _behind(node: Node) -> Node:
    while len(users := list(node.users)) == 1 and _name(users[0]) in _BEHIND:
        node = users[0]
    return node


def _name(node: Node) -> str:
    """``conv2d`` for ``aten.conv2d.default``; empty for what calls nothing."""
    if node.op != "call_function":
        return ""
    return str(getattr(node.target, "overloadpacket", node.target)).rpartition(".")[2]


def _feeding(node: Node, owners: dict[Node, str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    # From the convolution's own inputs on: the node may be the activation behind it.
    open_nodes = list(node.all_input_nodes)
    seen: set[Node] = set()
    while open_nodes:
        one = open_nodes.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in owners:
            found[owners[one]] = None
        else:
            open_nodes += one.all_input_nodes
    return tuple(found)
