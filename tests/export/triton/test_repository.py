"""What `--triton` writes: configurations, files, and graphs whose batch is free."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from edgedeblur.export.triton.configs import TritonOptions, network_config, pictures_config
from edgedeblur.export.triton.free_batch import free_onnx
from edgedeblur.export.triton.pbtxt import Word, to_pbtxt
from edgedeblur.export.triton.repository import write_models
from edgedeblur.runtimes.artifact import TensorSpec
from onnx import TensorProto, helper, numpy_helper


def described(shape=(1, 3, 64, 96), dtype="float32", layout="NCHW"):
    return SimpleNamespace(
        input=TensorSpec("image", shape, dtype, layout),
        output=TensorSpec("deblurred", shape, dtype, layout),
        size_multiple=32,
        smallest_side=None,
        to_dict=lambda: {"target": "onnx-fp32"},
    )


def graph_of(folder, nodes, constants=()):
    """An ONNX file from ``image`` to ``deblurred``, both (1, 3, 64, 96)."""
    given, got = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 96])
        for name in ("image", "deblurred")
    )
    graph = helper.make_graph(nodes, "network", [given], [got], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "network.onnx"
    onnx.save(model, str(path))
    return path


def halving(folder):
    half = numpy_helper.from_array(np.float32([0.5]), "half")
    return graph_of(folder, [helper.make_node("Mul", ["image", "half"], ["deblurred"])], [half])


def test_text_format():
    written = to_pbtxt(
        {"name": 'a "b"', "kind": Word("KIND_GPU"), "on": False, "dims": [1, -1],
         "inner": [{"key": "x", "value": {"number": 0.5}}, {"key": "y"}]}
    )  # fmt: skip
    assert written == (
        'name: "a \\"b\\""\nkind: KIND_GPU\non: false\ndims: [ 1, -1 ]\n'
        'inner {\n  key: "x"\n  value {\n    number: 0.5\n  }\n}\ninner {\n  key: "y"\n}\n'
    )
    with pytest.raises(TypeError, match="NoneType"):
        to_pbtxt({"name": None})


@pytest.mark.parametrize(("suffix", "backend", "kind", "batch"), [
    (".onnx", "onnxruntime", "KIND_AUTO", 4), (".openvino", "openvino", "KIND_CPU", 4),
    (".plan", "tensorrt", "KIND_GPU", 0), (".tflite", "python", "KIND_CPU", 0),
])  # fmt: skip
def test_each_format_has_its_backend(tmp_path, suffix, backend, kind, batch):
    options = TritonOptions(tmp_path, batch=4, instances=3)
    config = network_config("net", tmp_path / f"net{suffix}", described(), options)
    assert (config["backend"], config["max_batch_size"]) == (backend, batch)
    assert config["instance_group"] == [{"count": 3, "kind": kind}]
    assert config["response_cache"] == {"enable": False}
    assert config["input"][0]["dims"] == ([3, 64, 96] if batch else [1, 3, 64, 96])
    assert config["model_warmup"][0]["inputs"][0]["value"]["dims"] == config["input"][0]["dims"]
    assert ("dynamic_batching" in config) == bool(batch)


def test_tensors_are_the_artifacts_own_but_for_our_runner(tmp_path):
    manifest = described((1, "height", "width", 3), "uint8", "NHWC")
    options = TritonOptions(tmp_path)
    plan = network_config("net", tmp_path / "net.plan", manifest, options)["input"][0]
    assert (plan["data_type"], plan["dims"]) == ("TYPE_UINT8", [1, -1, -1, 3])
    ours = network_config("net", tmp_path / "net.tflite", manifest, options)["input"][0]
    assert (ours["data_type"], ours["dims"]) == ("TYPE_FP32", [1, 3, -1, -1])
    for name, tensors in (("net.plan", "artifact"), ("net.tflite", "float")):
        config = pictures_config("net_pictures", "net", tmp_path / name, options)
        values = {p["key"]: p["value"]["string_value"] for p in config["parameters"]}
        assert (values["network"], values["tensors"]) == ("net", tensors)


def test_a_free_batch_computes_what_the_graph_did(tmp_path):
    free_onnx(halving(tmp_path), tmp_path / "free.onnx", described())
    session = onnxruntime.InferenceSession(str(tmp_path / "free.onnx"))
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 96)).astype(np.float32)
    np.testing.assert_array_equal(session.run(None, {"image": batch})[0], batch / 2)


def test_a_graph_that_mixes_its_batch_is_refused(tmp_path):
    """Less the mean over the batch: nothing for one picture alone, another for two."""
    path = graph_of(
        tmp_path,
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["image", "mean"], ["deblurred"]),
        ],
    )
    with pytest.raises(ValueError, match="use --triton-batch 1"):
        free_onnx(path, tmp_path / "free.onnx", described())


def test_both_models_are_written_or_none(tmp_path):
    artifact, repository = halving(tmp_path), tmp_path / "repository"
    options = TritonOptions(repository)
    written = write_models(artifact, described(), options, force=False)
    assert [path.name for path in written] == ["network", "network_pictures"]
    files = sorted(p.relative_to(repository).as_posix() for p in repository.rglob("*.*"))
    assert files == [
        "network/1/model.onnx",
        "network/config.pbtxt",
        "network_pictures/1/manifest.json",
        "network_pictures/1/model.py",
        "network_pictures/config.pbtxt",
    ]
    held = json.loads((repository / "network_pictures" / "1" / "manifest.json").read_text())
    assert held == {"target": "onnx-fp32"}
    with pytest.raises(FileExistsError, match="--force"):
        write_models(artifact, described(), options, force=False)
    before = (repository / "network" / "config.pbtxt").read_text()
    artifact.write_bytes(b"no graph")
    with pytest.raises(Exception, match=r"."):
        write_models(artifact, described(), options, force=True)
    assert (repository / "network" / "config.pbtxt").read_text() == before
    assert sorted(p.name for p in repository.iterdir()) == ["network", "network_pictures"]


def test_plans_of_tensorrt_for_rtx_are_refused(tmp_path):
    plan = tmp_path / "net.plan"
    plan.write_bytes(b"vtrt" + bytes(60))
    with pytest.raises(ValueError, match="TensorRT for RTX"):
        write_models(plan, described(), TritonOptions(tmp_path / "r"), force=False)
    assert not (tmp_path / "r").exists()
