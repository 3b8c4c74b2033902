from __future__ import annotations

import numpy as np
import pytest
import torch
from edgedeblur.export.cli import main
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.kernels import PhaseConv
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.to_onnx.target import to_model
from edgedeblur.export.to_tflite import operators as tflite_graph
from edgedeblur.export.to_tflite.delegates import check_operators, require_delegate, summary
from edgedeblur.export.to_tflite.depth_to_space import DepthToSpaceConv
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.ptq.observers import with_zero
from edgedeblur.quantize.ptq.ranges import collect
from edgedeblur.quantize.ptq.tflite_graph import (
    kept_operators,
    tensor_ranges,
)
from edgedeblur.quantize.recipe import Recipe
from edgedeblur.runtimes.run_tflite.tflite_file import CONVOLUTIONS, TfliteFile
from torch.nn import functional

from tests import converted
from tests.contracts import SIZE, TargetContract, pytorch

pytest.importorskip("litert_torch", reason="litert-torch is not installed: pip install '.[tflite]'")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")

SHUFFLED = "split_concat@smooth,compose_separable@final,upsample_to_pixelshuffle@final"


@pytest.fixture(scope="module", autouse=True)
def _converted_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite_graph, "to_operators", converted.to_operators)
        yield


def run(path, picture: np.ndarray) -> np.ndarray:
    """LiteRT alone, by the names of the signature."""
    opened = interpreter.Interpreter(model_path=str(path), num_threads=2)
    return opened.get_signature_runner()(image=picture)["deblurred"]


class _Tflite(TargetContract):
    def embedded_text(self, path):
        return TfliteFile.read(path).metadata(EMBED_KEY)

    def test_picture_in_picture_out(self, built, checkpoint, photo):
        path, manifest = built
        assert (manifest.input.dtype, manifest.output.dtype) == ("uint8", "uint8")
        assert manifest.input.layout == "NHWC"
        picture = np.ascontiguousarray(photo[100:164, 150:246])
        result = run(path, picture[None])
        assert (result.dtype, result.shape) == (np.uint8, (1, *SIZE, 3))
        x = picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        expected = np.rint((pytorch(checkpoint, x)[0].transpose(1, 2, 0) + 1) * 127.5)
        off = np.abs(result[0].astype(int) - expected)
        assert off.mean() <= self.levels_off
        assert np.abs(result[0].astype(int) - picture).mean() > 2 * self.levels_off


class TestTfliteFp32(_Tflite):
    target_name = "tflite-fp32"
    levels_off = 0.001

    def test_graph_is_fit_for_phones(self, built):
        file = TfliteFile.read(built[0])
        kinds = {file.kind(operator) for operator in file.operators}
        assert kinds <= {*CONVOLUTIONS, "ADD", "SUB", "MUL", "PAD", "TANH", "CONCATENATION",
                         "RESIZE_NEAREST_NEIGHBOR", "QUANTIZE", "DEQUANTIZE"}  # fmt: skip
        assert all(len(file.shape(t)) <= 4 for t in range(len(file.graph.tensors)))
        assert len(file.model.subgraphs) == 1

    def test_convolutions_are_named_after_their_layers(self, built, checkpoint):
        file = TfliteFile.read(built[0])
        names = [file.name(int(o.outputs[0])) for o in file.operators
                 if file.kind(o) in CONVOLUTIONS]  # fmt: skip
        assert names[0] == "features.0.0"
        assert {"td1.0.depthwise", "final.pointwise", "head1.block0.pointwise"} <= set(names)
        weight = next(file.constant(t) for t in range(len(file.graph.tensors))
                      if file.name(t) == "final.pointwise.weight")  # fmt: skip
        theirs = prepare(checkpoint, norm="frozen").module.state_dict()["final.pointwise.weight"]
        assert np.array_equal(weight.transpose(0, 3, 1, 2), theirs.numpy())

    def test_delegates(self, built):
        checks = check_operators(built[0])
        assert len(checks) == len(TfliteFile.read(built[0]).operators)
        left = {check.kind for check in checks if "xnnpack" in check.refused}
        assert left == {"RESIZE_NEAREST_NEIGHBOR"}  # XNNPACK has no kernel for it
        require_delegate(checks, "gpu")
        with pytest.raises(
            ValueError, match=r"8 of \d+ operators fall back from xnnpack: 8 RESIZE"
        ):
            require_delegate(checks, "xnnpack")
        assert summary(checks).endswith("(not RESIZE_NEAREST_NEIGHBOR), gpu all, nnapi all")

    def test_delegate_that_is_required_is_a_gate(self, target, checkpoint, tmp_path):
        options = {"io": "image", "require_delegate": "xnnpack"}
        spec = ExportSpec(target.name, SIZE, options=options)
        with pytest.raises(ValueError, match="fall back from xnnpack"):
            produce(target, checkpoint, spec, tmp_path / "net.tflite", norm="frozen")
        assert list(tmp_path.iterdir()) == []

    def test_phones_do_not_take_gather_nor_five_dimensions(self, built, tmp_path):
        file = TfliteFile.read(built[0])
        file.set_kind(next(o for o in file.operators if file.kind(o) == "TANH"), "GATHER")
        assert tflite_graph._ELEMENTWISE == ("ADD", "SUB", "MUL")
        from edgedeblur.export.to_tflite.delegates import _gpu_refusal, _nnapi_refusal

        gather = next(o for o in file.operators if file.kind(o) == "GATHER")
        assert _gpu_refusal(file, gather) == "not in the GPU delegate's list"
        assert _nnapi_refusal(file, gather) == "not in the NNAPI delegate's list"
        concat = next(o for o in file.operators if file.kind(o) == "CONCATENATION")
        file.graph.tensors[int(concat.outputs[0])].shape = [1, 1, 16, 24, 256]
        assert _gpu_refusal(file, concat) == "5 dimensions"
        file.set_kind(concat, "MEAN")
        assert _gpu_refusal(file, concat) == "sums whole pictures, which overflows half precision"

    def test_operators_are_listed(self, built, capsys):
        assert main(["--operators", str(built[0])]) == 0
        out = capsys.readouterr().out
        assert "features.0.0" in out
        assert "gpu all" in out


class TestTfliteFp16(_Tflite):
    target_name = "tflite-fp16"
    levels_off = 0.2

    def test_weights_take_half_the_bytes(self, built):
        path, manifest = built
        assert path.stat().st_size < 2.3 * manifest.params
        assert manifest.parity.ran_on.endswith("fp16 weights, fp32 arithmetic")


class TestTfliteInt8(_Tflite):
    target_name = "tflite-int8"
    levels_off = 1.2

    def test_weights_take_a_byte_and_activations_are_8_bits(self, built):
        path, manifest = built
        assert path.stat().st_size < 1.3 * manifest.params
        file = TfliteFile.read(path)
        kinds = [file.dtype(int(o.outputs[0])) for o in file.operators]
        assert kinds.count("int8") > 0.85 * len(kinds)
        assert "int8" in manifest.parity.ran_on

    def test_kept_layers_and_the_tail_are_float(self, built):
        path, manifest = built
        file = TfliteFile.read(path)
        written = {file.name(int(o.outputs[0])): file.dtype(int(o.outputs[0]))
                   for o in file.operators}  # fmt: skip
        for layer in ("final.pointwise", "tanh_0"):
            assert written[layer] == "float32"
        assert written["features.0.0"] == "int8"
        assert manifest.quantisation.recipe["keep"] == ["final"]


def test_depth_to_space_is_the_same_convolution():
    generator = torch.Generator().manual_seed(3)
    kernel = torch.randn(3, 5, 3, 3, generator=generator).double()
    bias = torch.randn(3, generator=generator)
    image = torch.randn(1, 5, 6, 7, generator=generator)
    phases = PhaseConv(kernel, bias)
    with torch.no_grad():
        plain = functional.conv2d(
            functional.interpolate(image, scale_factor=2), kernel.float(), bias, padding=1
        )
        ours = DepthToSpaceConv(phases)(image)
    assert (ours - plain).abs().max() < 2e-5


@pytest.fixture(scope="module")
def shuffled():
    """The separable network with a pixel shuffle, as float operators, and its graph."""
    network = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    graph = apply_rewrites(network, parse_steps(SHUFFLED))
    return graph, tflite_graph.to_operators(graph, SIZE, levels=False)


def test_pixel_shuffle_is_one_operator(shuffled, tmp_path, image):
    graph, file = shuffled
    kinds = [file.kind(operator) for operator in file.operators]
    assert kinds.count("DEPTH_TO_SPACE") == kinds.count("SLICE") == 1
    assert not {"TRANSPOSE", "RESHAPE", "TRANSPOSE_CONV", "GATHER", "GATHER_ND"} & set(kinds)
    path = tmp_path / "net.tflite"
    path.write_bytes(TfliteFile(file.pack()).pack())
    result = run(path, np.ascontiguousarray(image.transpose(0, 2, 3, 1)))
    with torch.no_grad():
        expected = graph.reference(torch.from_numpy(image)).numpy()
    assert np.abs(result.transpose(0, 3, 1, 2) - expected).max() <= 1e-5


def test_equal_files_are_equal_bytes(shuffled):
    data = shuffled[1].pack()
    assert TfliteFile(data).pack() == data


def test_ranges_are_those_of_the_same_tensors(shuffled, tmp_path, image):
    """Every range that is looked up in ONNX holds, tightly, what LiteRT computes there."""
    graph, _ = shuffled
    file = tflite_graph.to_operators(graph, SIZE, levels=False)
    model = to_model(graph, ExportSpec("onnx-fp32", SIZE))
    seen = {k: with_zero(v.low, v.high)
            for k, v in collect(model, [image], count=1, threads=2).items()}  # fmt: skip
    recipe = Recipe()
    kept = kept_operators(file, model, recipe)
    assert {"final.branches.0.conv.conv", "tanh_0", "deblurred"} <= set(kept)
    ranges = tensor_ranges(file, model, seen, kept)
    path = tmp_path / "net.tflite"
    path.write_bytes(file.pack())
    opened = interpreter.Interpreter(
        model_path=str(path), experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    opened.allocate_tensors()
    opened.set_tensor(opened.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
    opened.invoke()
    compared = 0
    file = TfliteFile.read(path)
    for operator in file.operators:
        name, kind = file.name(int(operator.outputs[0])), file.kind(operator)
        if name in kept or kind in ("PAD", "SLICE", "DEPTH_TO_SPACE"):
            continue
        values = opened.get_tensor(int(operator.outputs[0]))
        assert with_zero(values.min(), values.max()) == pytest.approx(ranges[name], abs=1e-4)
        compared += 1
    assert compared > 80


def test_live_norms_are_refused(tmp_path):
    target = get_target("tflite-fp32")
    spec = ExportSpec(target.name, SIZE)
    with pytest.raises(ValueError, match="live ones are reductions over whole pictures"):
        produce(target, load_checkpoint("zoo:mobilenet_dsc"), spec, tmp_path / "net.tflite",
                norm="live")  # fmt: skip


def test_equalised_recipes_are_refused(shuffled):
    from edgedeblur.quantize.ptq.tflite_graph import quantise_tflite

    with pytest.raises(
        ValueError, match="TFLite does not support equalisation; use a recipe with 'equalise' false"
    ):
        quantise_tflite(shuffled[1], None, Recipe(equalise=True))


@pytest.mark.parametrize("data", [b"", b"junk", b"\0\0\0\0TFL3", b"\x10\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_file_is_told(data, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"net\.tflite: (not a|broken) TFLite file"):
        TfliteFile.read(path)
