from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import onnx
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.to_onnx.target import to_model
from edgedeblur.export.to_tensorrt import target as to_trt
from edgedeblur.export.to_tensorrt.io_types import with_io_format
from edgedeblur.export.to_tensorrt.options import OPTIONS
from edgedeblur.export.to_tensorrt.target import (
    build_request,
    int8_recipe,
    profile_shapes,
    shell_command,
    typed_bytes,
)
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.quantize.recipe import Recipe
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.optional import available
from edgedeblur.runtimes.run_tensorrt.runner import TypedGraphRunner, cannot_run
from edgedeblur.runtimes.run_tensorrt.sdk import read_header, version_numbers

from tests.contracts import SIZE, TargetContract, pytorch, spec_for

needs_rtx = pytest.mark.skipif(
    not available("tensorrt_rtx"), reason="tensorrt_rtx is not installed (the extra `trt`)"
)


def options(**given):
    return {option.key: option.default for option in OPTIONS} | {"trt": "rtx"} | given


def spec(target="trt-fp16", *, size=SIZE, dynamic=False, **given):
    return ExportSpec(target, size, dynamic=dynamic, options=options(**given))


def copied(model):
    return onnx.ModelProto.FromString(model.SerializeToString())


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.fixture(scope="module")
def graph(checkpoint):
    return prepare(checkpoint, norm="frozen")


@pytest.fixture(scope="module")
def traced(graph):
    """The float32 model of 64x96."""
    return to_model(graph, ExportSpec("trt-fp32", SIZE))


@needs_rtx
@pytest.mark.skipif(cannot_run("rtx") is None, reason="with a GPU the engine itself is run")
class TestTrtFp16(TargetContract):
    target_name = "trt-fp16"
    embedded = False

    @pytest.fixture(scope="class", autouse=True)
    def typed(self):
        """The typed graphs of all that is built, by their size."""
        graphs = {}
        keep = to_trt._write_typed_onnx

        def note(spec, data):
            graphs[len(data)] = data
            keep(spec, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(to_trt, "_write_typed_onnx", note)
            type(self).graphs = graphs
            yield

    def opened(self, path):
        manifest = read_manifest(path)
        return TypedGraphRunner(self.graphs[manifest.engine["source_bytes"]], manifest, threads=2)

    def test_plan_is_one_of_the_installed_version(self, built):
        import tensorrt_rtx

        path, manifest = built
        assert read_header(path).version == version_numbers(tensorrt_rtx)
        assert manifest.engine["builder"] == f"tensorrt_rtx {tensorrt_rtx.__version__}"
        assert manifest.tools["tensorrt_rtx"] == tensorrt_rtx.__version__
        assert 2e6 < manifest.bytes < 8e6

    def test_parity_says_that_the_engine_was_not_run(self, built):
        parity = built[1].parity
        assert parity.emulated
        reason = cannot_run("rtx")
        assert parity.note == f"typed ONNX on onnxruntime; engine not run: {reason}"
        assert parity.ran_on.endswith("fp16 weights, fp32 arithmetic")

    def test_typed_graph_is_half_inside(self, built):
        model = onnx.load_from_string(self.graphs[built[1].engine["source_bytes"]])
        kinds = {t.name: t.data_type for t in model.graph.initializer}
        weights = [kinds[n.input[1]] for n in model.graph.node if n.op_type == "Conv"]
        assert len(weights) > 70
        assert set(weights) == {onnx.TensorProto.FLOAT16}
        casts = [n for n in model.graph.node if n.op_type == "Cast"]
        assert len(casts) == 2  # the picture into the network, the residual out of it


@needs_rtx
class TestInt8:
    @pytest.fixture(scope="class")
    def built(self, checkpoint, tmp_path_factory):
        folder = tmp_path_factory.mktemp("int8")
        target = get_target("trt-int8")
        request = spec_for(target)
        request = dataclasses.replace(
            request, options=options(keep_onnx=folder / "typed.onnx", io="uint8")
        )
        path = folder / "net.plan"
        manifest = produce(target, checkpoint, request, path, norm="frozen")
        return path, manifest, onnx.load(folder / "typed.onnx")

    def test_drop_and_recipe_are_in_the_manifest(self, built):
        cost = built[1].quantisation
        assert cost.psnr_drop_db <= 0.3
        assert cost.residual_snr_db > 18
        assert (cost.recipe["name"], cost.recipe["pairs"]) == (
            "static_w8a8_perchannel_symmetric",
            "fused",
        )
        assert built[1].parity.emulated

    def test_plan_is_small(self, built):
        # With depthwise convolutions in int8 it grows with the picture; see `int8_recipe`.
        assert built[1].bytes < 12e6

    def test_dense_convolutions_read_pairs_and_depthwise_ones_do_not(self, built):
        graph = built[2].graph
        made = {name: node.op_type for node in graph.node for name in node.output}
        dense, depthwise = [], []
        for node in graph.node:
            if node.op_type == "Conv":
                groups = next((a.i for a in node.attribute if a.name == "group"), 1)
                (depthwise if groups > 1 else dense).append([made.get(x) for x in node.input[:2]])
        assert len(depthwise) == 29
        assert all("DequantizeLinear" not in sources for sources in depthwise)
        paired = [sources == ["DequantizeLinear"] * 2 for sources in dense]
        assert paired.count(False) == 1  # final's pointwise, which the recipe keeps
        zeros = [t for t in graph.initializer if t.name.endswith("/zero")]
        assert all(not onnx.numpy_helper.to_array(t).any() for t in zeros)  # symmetric

    def test_uint8_input_and_output(self, built, checkpoint, photo):
        _, manifest, model = built
        assert manifest.input.shape == (1, 64, 96, 3)
        assert (manifest.input.dtype, manifest.input.layout) == ("uint8", "NHWC")
        corner = photo[:64, :96].transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        image = np.ascontiguousarray(corner)
        with TypedGraphRunner(model.SerializeToString(), manifest, threads=2) as runner:
            answer = runner.infer(image)
        assert np.abs(answer - pytorch(checkpoint, image)).mean() < 0.02
        levels = (answer + 1) * 127.5
        assert np.abs(levels - np.rint(levels)).max() < 1e-3  # whole levels


class TestTypedGraph:
    def test_the_same_request_gives_the_same_bytes(self, checkpoint, traced):
        again = to_model(prepare(checkpoint, norm="frozen"), ExportSpec("trt-fp32", SIZE))
        first, second = (
            typed_bytes(
                with_io_format(onnx.ModelProto.FromString(m.SerializeToString()), spec()), spec()
            )
            for m in (traced, again)
        )
        assert first == second
        assert b"/home/" not in first
        assert b"site-packages" not in first

    @pytest.mark.parametrize("io", ["fp16", "uint8"])
    def test_io_formats_agree_with_float32(self, io, traced, graph, checkpoint, image):
        request = spec(io=io, max_batch=3)
        model = with_io_format(copied(traced), request)
        taken, given = to_trt.io_tensors(request)
        manifest = _manifest_like(graph, taken, given)
        levels = np.rint((image + 1) * 127.5).astype(np.float32) / np.float32(127.5) - 1
        with TypedGraphRunner(typed_bytes(model, request), manifest, threads=2) as runner:
            pair = np.concatenate([levels, levels[..., ::-1]])
            answer = runner.infer(np.ascontiguousarray(pair))
        assert taken.shape[0] == "batch"
        step = 0.51 / 127.5 if io == "uint8" else 2**-10  # half a level; a half float near 1
        for one, x in zip(answer, pair, strict=True):
            expected = pytorch(checkpoint, np.ascontiguousarray(x[None]))[0]
            assert np.abs(one - expected).max() < step + 1e-3


def _manifest_like(graph, taken, given):
    from edgedeblur.export.produce import draft_manifest

    target = get_target("trt-fp32")
    whole = draft_manifest(target, graph, spec("trt-fp32"))
    return dataclasses.replace(whole, input=taken, output=given)


class TestRequests:
    def test_profile_of_free_sizes(self):
        assert profile_shapes(spec()) is None
        free = spec(dynamic=True, size=(736, 1280))
        assert profile_shapes(free) == ((1, 3, 32, 32), (1, 3, 736, 1280), (1, 3, 736, 1280))
        sizes = [[256, 256], [512, 640], [736, 1280]]
        wide = spec(dynamic=True, profile=sizes, io="uint8", max_batch=4)
        assert profile_shapes(wide) == (
            (1, 256, 256, 3),
            (4, 512, 640, 3),
            (4, 736, 1280, 3),
        )
        assert profile_shapes(spec(max_batch=2)) == ((1, 3, *SIZE), (2, 3, *SIZE), (2, 3, *SIZE))

    def test_profiles_that_cannot_be(self):
        with pytest.raises(ValueError, match="--profile needs --dynamic"):
            profile_shapes(spec(profile=[[32, 32]] * 3))
        with pytest.raises(ValueError, match="MIN,OPT,MAX; each size is at least"):
            profile_shapes(spec(dynamic=True, profile=[[64, 64], [32, 64], [64, 64]]))
        inception = dataclasses.replace(
            spec(dynamic=True, profile=[[160, 128], [160, 160], [160, 160]]), smallest_side=160
        )
        with pytest.raises(ValueError, match=r"begins with 160x128; .* sides of 160 or more"):
            profile_shapes(inception)

    def test_options_of_the_other_sdk(self, tmp_path):
        with pytest.raises(ValueError, match="--compute-capability needs --trt rtx"):
            build_request(spec(trt="tensorrt", compute_capability=["80"]))
        with pytest.raises(ValueError, match="--timing-cache needs --trt tensorrt"):
            build_request(spec(timing_cache=tmp_path / "cache"))

    @pytest.mark.parametrize(
        ("flag", "text", "value"),
        [
            ("--compute-capability", "8.0,89,80", ["80", "89"]),
            ("--profile", "32x32,64x96,64x96", [[32, 32], [64, 96], [64, 96]]),
            ("--workspace", "512", 512),
            ("--opt-level", "5", 5),
        ],
    )
    def test_words(self, flag, text, value):
        assert next(o for o in OPTIONS if o.flag == flag).parse(text) == value

    @pytest.mark.parametrize(
        ("flag", "text"),
        [
            ("--compute-capability", "61"),
            ("--compute-capability", ""),
            ("--profile", "32x32,64x96"),
            ("--profile", "32x32,64x96,0x96"),
            ("--workspace", "0"),
            ("--opt-level", "6"),
            ("--max-batch", "x"),
        ],
    )
    def test_words_that_mean_nothing(self, flag, text):
        with pytest.raises(argparse.ArgumentTypeError):
            next(o for o in OPTIONS if o.flag == flag).parse(text)

    def test_the_same_build_by_nvidias_tool(self, tmp_path):
        request = spec(
            dynamic=True, trt="tensorrt", workspace=512, opt_level=4,
            timing_cache=tmp_path / "t", keep_onnx=tmp_path / "m.onnx",
        )  # fmt: skip
        assert shell_command(request, build_request(request), "net.plan") == (
            f"trtexec --onnx={tmp_path}/m.onnx --saveEngine=net.plan --skipInference "
            "--stronglyTyped "
            "--minShapes=image:1x3x32x32 --optShapes=image:1x3x64x96 --maxShapes=image:1x3x64x96 "
            "--memPoolSize=workspace:512M --builderOptimizationLevel=4 "
            f"--timingCacheFile={tmp_path}/t"
        )

    @pytest.mark.skipif(cannot_run("rtx") is None, reason="there is a GPU here")
    def test_layers_cannot_be_told_without_a_gpu(self, graph, tmp_path):
        request = spec(layer_info=tmp_path / "layers.json")
        with pytest.raises(ValueError, match="--layer-info reads the engine on a GPU; this"):
            to_trt.convert_fp32(graph, request, tmp_path / "net.plan")

    def test_recipe_for_tensorrt(self, graph):
        recipe = int8_recipe(Recipe(keep=("final",)))
        assert recipe.keep == ("final", "depthwise")
        assert recipe.scheme.symmetric
        wrong = dataclasses.replace(spec_for(get_target("trt-int8")), options=options())
        plan = dataclasses.replace(wrong.quantise, recipe=Recipe())
        wrong = dataclasses.replace(wrong, quantise=plan)
        with pytest.raises(ValueError, match="--recipe static_w8a8_perchannel_symmetric"):
            to_trt.convert_int8(graph, wrong, None)
