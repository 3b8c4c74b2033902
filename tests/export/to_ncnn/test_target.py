from __future__ import annotations

import subprocess

import numpy as np
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import produce
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.rewrites.tune import candidates_for
from edgedeblur.export.to_ncnn.target import convert_fp32
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.ptq.ncnn_model import read_model
from edgedeblur.runtimes.run_ncnn.param_file import parse_param

from tests.contracts import SIZE, TargetContract, spec_for
from tests.released import expected

ncnn = pytest.importorskip("ncnn")


def _run(folder, image: np.ndarray) -> np.ndarray:
    """ncnn alone, without our runner, in float32."""
    net = ncnn.Net()
    for name in ("fp16_storage", "fp16_packed", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{name}", False)
    assert net.load_param(str(folder / "model.param")) == 0
    assert net.load_model(str(folder / "model.bin")) == 0
    with net.create_extractor() as extractor:
        extractor.input("image", ncnn.Mat(image[0]).clone())
        return np.array(extractor.extract("deblurred")[1])[None]


class _Ncnn(TargetContract):
    embedded = False  # the format has no place for texts

    def test_folder_holds_two_files_that_name_no_machine(self, built, target, checkpoint, tmp_path):
        path, manifest = built
        assert sorted(p.name for p in path.iterdir()) == ["model.bin", "model.param"]
        text = (path / "model.param").read_text()
        assert "/" not in text
        again = tmp_path / "again.ncnn"
        spec = spec_for(target)
        assert produce(target, checkpoint, spec, again, norm="frozen").sha256 == manifest.sha256

    def test_norms_are_folded_and_activations_are_part_of_convolutions(self, built):
        layers = parse_param((built[0] / "model.param").read_text(), origin="model.param")
        kinds = {layer.kind for layer in layers}
        assert kinds <= {
            "Input", "Split", "Convolution", "ConvolutionDepthWise", "BinaryOp", "Concat",
            "Interp", "TanH", "Clip", "ReLU",
        }  # fmt: skip


class TestNcnnFp32(_Ncnn):
    target_name = "ncnn-fp32"

    def test_ran_in_float32(self, built):
        assert built[1].parity.ran_on.endswith("threads, fp32")
        assert built[1].parity.max_abs <= 1e-5

    def test_weights_take_four_bytes(self, built):
        path, manifest = built
        assert 4.0 * manifest.params <= (path / "model.bin").stat().st_size < 4.1 * manifest.params


class TestNcnnFp16(_Ncnn):
    target_name = "ncnn-fp16"

    def test_weights_take_two_bytes_and_arithmetic_is_told(self, built):
        path, manifest = built
        assert (path / "model.bin").stat().st_size < 2.1 * manifest.params
        half = ncnn.cpu_support_arm_asimdhp()
        told = "fp16" if half else "fp16 weights, fp32 arithmetic"
        assert manifest.parity.ran_on.endswith(f"threads, {told}")


class TestNcnnInt8(_Ncnn):
    target_name = "ncnn-int8"

    def test_weights_take_one_byte_where_the_recipe_quantises(self, built):
        path, manifest = built
        assert (path / "model.bin").stat().st_size < 1.5 * manifest.params
        model = read_model(path)
        # Whatever reads more than 32 channels a group is in 8 bits; the last layer reads 32.
        for layer in model.layers:
            held = model.weights.get(layer.name)
            if held is not None and layer.kind != "DeconvolutionDepthWise":
                channels = held.weight.size // (layer.number(0) * layer.number(1) ** 2)
                wide = channels > 32 and layer.kind == "Convolution"
                in_8_bits = held.weight.dtype.name == "int8"
                assert in_8_bits == wide, layer.name

    def test_manifest_holds_recipe_and_drop(self, built):
        _path, manifest = built
        assert manifest.parity.ran_on.endswith("threads, int8")
        quantised = manifest.quantisation
        assert quantised.recipe["name"] == "static_w8a8_perchannel_symmetric"
        assert quantised.recipe["keep"] == ["final", "narrow"]
        assert quantised.psnr_drop_db <= 0.3
        assert quantised.stability_db < 0.3

    def test_without_pictures_or_with_live_norms(self, checkpoint, target, tmp_path):
        with pytest.raises(ValueError, match="ncnn-int8 needs calibration pictures"):
            target.convert(
                prepare(checkpoint, norm="frozen"), ExportSpec(target.name, SIZE), tmp_path
            )
        with pytest.raises(ValueError, match="ncnn-int8 needs frozen norms"):
            target.convert(prepare(checkpoint, norm="live"), spec_for(target), tmp_path)


@pytest.mark.parametrize(
    ("norm", "output"), [("frozen", "output_running_stats"), ("live", "output_batch_stats")]
)
def test_recorded_network_is_met(released_h5, tmp_path, norm, output):
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm=norm)
    convert_fp32(graph, ExportSpec("ncnn-fp32", SIZE), tmp_path / "net.ncnn")
    result = _run(tmp_path / "net.ncnn", recorded["input"])
    assert np.abs(result - recorded[output]).max() <= 1e-4


@pytest.mark.parametrize(
    ("backbone", "rewrites"),
    [
        *[("mobilenet_dsc", text) for text in candidates_for("mobilenet_dsc")[1:]],
        *[("mobilenet", text) for text in candidates_for("mobilenet")[1:]],
    ],
)
def test_every_candidate_of_tuning_computes_the_same(backbone, rewrites, tmp_path, photo):
    torch = pytest.importorskip("torch")
    graph = prepare(load_checkpoint(f"zoo:{backbone}"), norm="frozen")
    corner = photo[: SIZE[0], : SIZE[1]].transpose(2, 0, 1)[None]
    image = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
    with torch.no_grad():
        wanted = graph.reference(torch.from_numpy(image)).numpy()
    rewritten = apply_rewrites(graph, parse_steps(rewrites))
    convert_fp32(rewritten, ExportSpec("ncnn-fp32", SIZE), tmp_path / "net.ncnn")
    assert np.abs(_run(tmp_path / "net.ncnn", image) - wanted).max() <= 1e-4


def test_failing_pnnx_is_told_in_one_line(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 7, stdout="layer Foo not supported\n\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *args, **_: failed)
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    with pytest.raises(ValueError, match=r"pnnx cannot .*\(exit 7: layer Foo not supported\)"):
        convert_fp32(graph, ExportSpec("ncnn-fp32", SIZE), tmp_path / "net.ncnn")
    assert list(tmp_path.iterdir()) == []
