from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.to_onnx.target import to_half, to_model
from edgedeblur.export.verify import ParityError
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.layer_names import layer_name
from edgedeblur.models.network.norm import norms
from edgedeblur.quantize.recipe import default_recipe, is_kept
from edgedeblur.quantize.search import sensitivity
from edgedeblur.runtimes.registry import open_runner
from torch import nn

from tests.contracts import SIZE, TargetContract, spec_for
from tests.released import expected


class _Onnx(TargetContract):
    def embedded_text(self, path):
        props = {p.key: p.value for p in onnx.load(path).metadata_props}
        return props[EMBED_KEY]


class TestOnnxFp32(_Onnx):
    target_name = "onnx-fp32"

    def test_file_is_one_clean_graph(self, built):
        path, _ = built
        model = onnx.load(path)
        assert [i.name for i in model.graph.input] == ["image"]
        assert [o.name for o in model.graph.output] == ["deblurred"]
        assert not any(i.external_data for i in model.graph.initializer)
        kinds = {node.op_type for node in model.graph.node}
        assert kinds == {"Conv", "Clip", "Relu", "Add", "Resize", "Concat", "Tanh"}
        assert b"/tmp" not in path.read_bytes()  # no paths of the exporting machine
        assert b"site-packages" not in path.read_bytes()

    def test_export_is_repeatable(self, built, target, checkpoint, tmp_path):
        _, manifest = built
        again = produce(
            target,
            checkpoint,
            ExportSpec(target.name, SIZE),
            tmp_path / "again.onnx",
            norm="frozen",
            threads=2,
        )
        assert again.sha256 == manifest.sha256


class TestOnnxFp16(_Onnx):
    target_name = "onnx-fp16"

    def test_weights_are_half_and_io_is_float(self, built):
        path, _ = built
        model = onnx.load(path)
        weights = [i for i in model.graph.initializer if len(i.dims) == 4]
        assert weights
        assert all(i.data_type == onnx.TensorProto.FLOAT16 for i in weights)
        for tensor in (*model.graph.input, *model.graph.output):
            assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT

    def test_residual_add_stays_float32(self, built):
        model = onnx.load(built[0])
        types = {
            i.name: i.type.tensor_type.elem_type
            for i in onnx.shape_inference.infer_shapes(model).graph.value_info
        }
        tanh = next(node for node in model.graph.node if node.op_type == "Tanh")
        assert types[tanh.input[0]] == onnx.TensorProto.FLOAT


class TestOnnxInt8(_Onnx):
    target_name = "onnx-int8"

    def test_weights_are_bytes_but_for_the_recipes_layers(self, built):
        model = onnx.load(built[0])
        kinds = {i.name: i.data_type for i in model.graph.initializer if len(i.dims) == 4}
        floats = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT]
        keep = default_recipe("mobilenet_dsc").keep
        assert floats
        assert all(is_kept(layer_name(name), keep) for name in floats)
        assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) == len(kinds) - len(
            floats
        )

    def test_manifest_says_what_it_cost(self, built):
        manifest = built[1]
        assert manifest.calibration.images == 8
        cost = manifest.quantisation
        assert cost.recipe == default_recipe("mobilenet_dsc").to_dict()
        assert (cost.pictures, cost.max_drop_db) == (10, 0.3)
        assert cost.worst_drop_db >= cost.psnr_drop_db
        assert cost.residual_snr_db > 10
        assert cost.stability_db >= 0

    def test_too_large_a_loss_names_layers_and_writes_nothing(
        self, target, checkpoint, tmp_path, monkeypatch
    ):
        some = ["features.2.conv.0", "smooth.0.pointwise", "features.3.conv.6"]
        monkeypatch.setattr(sensitivity, "quantised_layers", lambda _done, _recipe: some)
        spec = spec_for(target)
        strict = dataclasses.replace(spec.quantise, max_drop_db=-1.0)
        spec = dataclasses.replace(spec, quantise=strict)
        with pytest.raises(
            ParityError, match=r"Most sensitive: \S+ \(.* dB of residual SNR in float"
        ):
            produce(target, checkpoint, spec, tmp_path / "net.onnx", norm="frozen")
        assert list(tmp_path.iterdir()) == []

    def test_live_norms_are_refused(self, target, checkpoint, tmp_path):
        with pytest.raises(ValueError, match="onnx-int8 needs frozen norms"):
            produce(target, checkpoint, spec_for(target), tmp_path / "net.onnx", norm="live")

    def test_no_pictures_is_an_error(self, target, checkpoint, tmp_path):
        spec = ExportSpec(target.name, SIZE)
        with pytest.raises(ValueError, match="needs calibration pictures"):
            produce(target, checkpoint, spec, tmp_path / "net.onnx", norm="frozen")


def test_live_norms_meet_the_recorded_training_mode_in_onnxruntime(released_h5):
    """The reference's behaviour, as an artifact."""
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm="live")
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    output = _run(model, recorded["input"])
    assert np.abs(output - recorded["output_batch_stats"]).max() <= 1e-4


def test_live_norms_survive_half_precision(released_h5):
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm="live")
    output = _run(to_half(to_model(graph, ExportSpec("onnx-fp16", SIZE))), recorded["input"])
    error = (output - recorded["output_batch_stats"]) * 127.5
    assert 20 * np.log10(255 / np.sqrt(np.mean(error**2))) >= 50.0


def test_frozen_norms_meet_the_recorded_eval_mode_in_onnxruntime(released_h5):
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm="frozen")
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    output = _run(model, recorded["input"])
    assert np.abs(output - recorded["output_running_stats"]).max() <= 1e-4


def test_preparing_drops_dead_features_and_norms(released_h5):
    checkpoint = load_checkpoint(str(released_h5))
    graph = prepare(checkpoint, norm="frozen")
    assert checkpoint.dead_features
    assert not norms(graph.module)
    assert len(graph.module.fpn.features) == 16
    assert len(graph.reference.fpn.features) == 19
    image = torch.from_numpy(expected()["input"])
    with torch.no_grad():
        assert (graph.module(image) - graph.reference(image)).abs().max() <= 1e-5


def test_equal_weights_of_two_layers_keep_both_names(image):
    """`split_concat` copies smooth2's depthwise kernel; the exporter would store it once."""
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    graph = apply_rewrites(graph, parse_steps("split_concat@smooth2"))
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    layers = {name for name, part in graph.module.named_modules() if isinstance(part, nn.Conv2d)}
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert sorted(names) == sorted(layers)
    with torch.no_grad():
        expected_output = graph.reference(torch.from_numpy(image)).numpy()
    assert np.abs(_run(model, image) - expected_output).max() <= 1e-5


def test_a_layer_may_run_twice(image):
    class Twice(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network, self.mixed = network, nn.Conv2d(3, 3, 1)

        def forward(self, picture):
            return self.mixed(self.mixed(self.network(picture)))

    torch.manual_seed(0)
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    graph = dataclasses.replace(graph, module=Twice(graph.module).eval())
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    assert [n.name for n in model.graph.node if "mixed" in n.name] == ["mixed", "mixed.2"]
    with torch.no_grad():
        expected_output = graph.module(torch.from_numpy(image)).numpy()
    assert np.abs(_run(model, image) - expected_output).max() <= 1e-5


def test_freezing_a_network_trained_live_is_reported(released_h5, tmp_path):
    checkpoint = load_checkpoint(str(released_h5))
    spec = ExportSpec("onnx-fp32", SIZE)
    path = tmp_path / "frozen.onnx"
    manifest = produce(get_target("onnx-fp32"), checkpoint, spec, path, norm="frozen")
    # The fixture's weights are random: its two modes are different pictures.
    assert manifest.freezing_psnr_db is not None
    assert 5.0 < manifest.freezing_psnr_db < 30.0


def test_live_artifact_says_so_and_has_no_receptive_radius(released_h5, tmp_path, image):
    checkpoint = load_checkpoint(str(released_h5))
    path = tmp_path / "live.onnx"
    # Statistics over a few pixels amplify rounding; at 1/32 this leaves 64 of them.
    spec = ExportSpec("onnx-fp32", (256, 256))
    manifest = produce(get_target("onnx-fp32"), checkpoint, spec, path, norm="live")
    assert (manifest.norm, manifest.receptive_radius_px) == ("live", None)
    assert manifest.freezing_psnr_db is None
    with open_runner(path) as runner, pytest.raises(ValueError, match="1 picture"):
        runner.infer(np.concatenate([image, image]))


def _run(model, image):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["deblurred"], {"image": image})[0]
