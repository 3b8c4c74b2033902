"""A network small enough to compute by hand, in the shape of ours."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def tiny(first: np.ndarray, last: np.ndarray, *, bias: np.ndarray | None = None):
    """image -> Conv a -> Relu -> Conv final -> Tanh -> + image -> Clip; (1, 3, 8, 8)."""
    held = {"a.weight": first, "final.weight": last, "low": np.float32(-1), "high": np.float32(1)}
    names = ["image", "a.weight"]
    if bias is not None:
        held["a.bias"] = bias
        names.append("a.bias")
    pads = [first.shape[2] // 2] * 4
    nodes = [
        helper.make_node("Conv", names, ["x"], name="a", pads=pads),
        helper.make_node("Relu", ["x"], ["y"], name="relu"),
        helper.make_node("Conv", ["y", "final.weight"], ["z"], name="final"),
        helper.make_node("Tanh", ["z"], ["t"], name="tanh"),
        helper.make_node("Add", ["t", "image"], ["s"], name="add"),
        helper.make_node("Clip", ["s", "low", "high"], ["deblurred"], name="clip"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("deblurred", TensorProto.FLOAT, [1, 3, 8, 8])],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def pictures(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32) for _ in range(count)]


def model_of(nodes, held, *, channels=3):
    """A graph over image (N, channels, H, W) that gives `out`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in held.items()]
    graph = helper.make_graph(nodes, "g", [image], [out], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def node(kind, inputs, output, **more):
    return helper.make_node(kind, inputs, [output], **more)
