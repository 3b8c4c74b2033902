"""Constants and names where the converter stores equal tensors once, or a layer runs twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.to_onnx.target import to_model
from edgedeblur.export.to_tflite import operators as tflite_graph
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.layer_names import layer_name
from edgedeblur.quantize.pipeline import QuantisedOnnx
from edgedeblur.quantize.ptq.onnx_graph import correct_biases
from edgedeblur.quantize.ptq.ranges import collect
from edgedeblur.quantize.ptq.tflite_graph import correct_tflite_biases
from edgedeblur.runtimes.run_tflite.tflite_file import CONVOLUTIONS
from onnx import numpy_helper

from tests.contracts import SIZE

pytest.importorskip("litert_torch", reason="litert-torch is not installed: pip install '.[tflite]'")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")


def test_every_layer_gets_its_own_bias_correction(image):
    """As in ONNX, also where the converter stored the zero biases or equal weights once."""
    network = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    graph = apply_rewrites(network, parse_steps("split_concat@smooth+smooth2"))
    file = tflite_graph.to_operators(graph, SIZE, levels=False)
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    seen = collect(model, [image], count=1, threads=2)
    correct_tflite_biases(file, QuantisedOnnx(model, seen, model, None), [])
    correct_biases(model, seen, set())
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    expected = {layer_name(n.input[1]): held[n.input[2]] for n in model.graph.node
                if n.op_type == "Conv"}  # fmt: skip
    biases = {file.name(int(o.outputs[0])): file.constant(int(o.inputs[2])) for o in file.operators
              if file.kind(o) in CONVOLUTIONS}  # fmt: skip
    assert sorted(biases) == sorted(expected)
    assert all(np.abs(biases[layer] - expected[layer]).max() <= 1e-6 for layer in expected)
    depthwise = [b for layer, b in biases.items() if layer.endswith("0.depthwise")]
    assert len({b.tobytes() for b in depthwise}) == len(depthwise)  # zeros before


def test_a_layer_may_run_twice(tmp_path, image):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mixed = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, picture):
            return self.mixed(self.mixed(picture))

    torch.manual_seed(0)
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    graph = dataclasses.replace(graph, module=Twice().eval())
    file = tflite_graph.to_operators(graph, SIZE, levels=False)
    path = tmp_path / "net.tflite"
    path.write_bytes(file.pack())
    opened = interpreter.Interpreter(model_path=str(path), num_threads=2)
    picture = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    result = opened.get_signature_runner()(image=picture)["deblurred"]
    with torch.no_grad():
        expected = graph.module(torch.from_numpy(image)).numpy()
    assert np.abs(result.transpose(0, 3, 1, 2) - expected).max() <= 1e-5
