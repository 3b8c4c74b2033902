from __future__ import annotations

import numpy as np
import onnx
import openvino
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.to_openvino.target import MODEL_FILE, QUANTISED_FILE, convert_fp32
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import read_manifest

from tests.contracts import SIZE, TargetContract
from tests.released import expected


class _Openvino(TargetContract):
    def embedded_text(self, path):
        model = openvino.Core().read_model(path / MODEL_FILE)
        return model.get_rt_info(EMBED_KEY.split(".")).astype(str)

    def test_folder_holds_the_two_files_of_an_ir(self, built):
        path, _ = built
        assert sorted(p.name for p in path.iterdir()) == ["model.bin", "model.xml"]
        model = openvino.Core().read_model(path / MODEL_FILE)
        assert [p.get_any_name() for p in model.inputs] == ["image"]
        assert [p.get_any_name() for p in model.outputs] == ["deblurred"]

    def test_export_is_repeatable_and_names_no_machine(self, built, target, checkpoint, tmp_path):
        path, manifest = built
        spec = ExportSpec(target.name, SIZE)
        again = tmp_path / "again.openvino"
        assert produce(target, checkpoint, spec, again, norm="frozen").sha256 == manifest.sha256
        text = (path / MODEL_FILE).read_text()
        assert not any(word in text for word in (str(path.parent), "site-packages"))

    def test_force_replaces_the_folder_whole(self, target, checkpoint, tmp_path):
        path = tmp_path / f"net{target.suffix}"
        path.mkdir()
        (path / "model.bin").write_bytes(b"old")
        spec = ExportSpec(target.name, SIZE)
        manifest = produce(target, checkpoint, spec, path, norm="frozen", force=True)
        assert sorted(p.name for p in path.iterdir()) == ["model.bin", "model.xml"]
        assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.json"]
        assert read_manifest(path) == manifest


class TestOpenvinoFp32(_Openvino):
    target_name = "openvino-fp32"

    def test_ran_in_float32(self, built):
        assert built[1].parity.ran_on.endswith("threads, fp32")


class TestOpenvinoFp16(_Openvino):
    target_name = "openvino-fp16"

    def test_weights_take_half_the_bytes_and_arithmetic_is_told(self, built):
        path, manifest = built
        assert (path / "model.bin").stat().st_size < 2.2 * manifest.params
        capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        arithmetic = "bf16" if "BF16" in capabilities else "fp32"
        assert manifest.parity.ran_on.endswith(f"fp16 weights, {arithmetic} arithmetic")


class TestOpenvinoInt8(TargetContract):
    target_name = "openvino-int8"

    def embedded_text(self, path):
        held = onnx.load(path / QUANTISED_FILE).metadata_props
        return {prop.key: prop.value for prop in held}[EMBED_KEY]

    def test_folder_holds_the_same_graph_as_onnx_int8(self, built):
        path, manifest = built
        assert [p.name for p in path.iterdir()] == [QUANTISED_FILE]
        kinds = {node.op_type for node in onnx.load(path / QUANTISED_FILE).graph.node}
        assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
        assert "int8, " in manifest.parity.ran_on

    def test_it_really_computes_in_8_bits(self, built):
        compiled = openvino.Core().compile_model(built[0] / QUANTISED_FILE, "CPU")
        inside = [
            str(n.get_rt_info()["runtimePrecision"].value)
            if hasattr(n.get_rt_info()["runtimePrecision"], "value")
            else str(n.get_rt_info()["runtimePrecision"])
            for n in compiled.get_runtime_model().get_ops()
        ]
        assert sum(kind in ("u8", "i8") for kind in inside) > 30


@pytest.mark.parametrize(
    ("norm", "output"), [("frozen", "output_running_stats"), ("live", "output_batch_stats")]
)
def test_recorded_network_is_met(released_h5, tmp_path, norm, output):
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm=norm)
    convert_fp32(graph, ExportSpec("openvino-fp32", SIZE), tmp_path / "net.openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(
        tmp_path / "net.openvino" / MODEL_FILE, "CPU", settings
    )
    result = compiled({0: recorded["input"]})[0]
    assert np.abs(result - recorded[output]).max() <= 1e-4


def test_conversion_sends_no_telemetry(tmp_path, monkeypatch):
    sent = []
    telemetry = pytest.importorskip("openvino_telemetry").Telemetry
    for name in ("send_event", "start_session"):
        monkeypatch.setattr(telemetry, name, lambda *args, **_: sent.append(args[1:]))
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    convert_fp32(graph, ExportSpec("openvino-fp32", SIZE), tmp_path / "net.openvino")
    assert sent == []
