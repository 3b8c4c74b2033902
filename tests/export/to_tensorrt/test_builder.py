from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.export.to_tensorrt.builder import BuildRequest, _check_version, build_engine
from edgedeblur.runtimes.optional import MissingDependencyError, available
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.skipif(
    not available("tensorrt_rtx"), reason="tensorrt_rtx is not installed (the extra `trt`)"
)


def tiny(*, kind="Conv", half=False, shape=(1, 3, 32, 32)):
    """One 3x3 convolution, as an ONNX file."""
    weight = np.ones((3, 3, 3, 3), np.float16 if half else np.float32)
    node = helper.make_node(kind, ["image", "w"], ["y"], name="first", pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


RTX = BuildRequest("rtx")


def test_builds_the_same_plan_twice_and_tells_how_far_it_is():
    said = []
    first, second = build_engine(tiny(), RTX, said.append), build_engine(tiny(), RTX)
    assert first.plan == second.plan
    assert first.plan[:4] == b"vtrt"
    assert first.seconds > 0
    assert any(line.startswith("building: ") for line in said)


def test_parser_names_the_node_and_the_reason():
    with pytest.raises(ValueError, match=r"node first \(Frobnicate\): .*Plugin not found"):
        build_engine(tiny(kind="Frobnicate"), RTX)
    with pytest.raises(ValueError, match=r"node first \(Conv\): .*must be of same type") as caught:
        build_engine(tiny(half=True), RTX)
    assert "CUDA driver" not in str(caught.value)  # noise about there being no GPU
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="Failed to parse the ONNX model"):
        build_engine(b"garbage", RTX)


def test_free_sides_need_a_profile_in_order():
    free = tiny(shape=(1, 3, "h", "w"))
    with pytest.raises(ValueError, match="no optimization profile has been defined"):
        build_engine(free, RTX)
    least, most = (1, 3, 32, 32), (1, 3, 64, 64)
    assert build_engine(free, BuildRequest("rtx", shapes=(least, most, most))).plan
    with pytest.raises(ValueError, match="MIN<=OPT<=MAX"):
        build_engine(free, BuildRequest("rtx", shapes=(most, least, most)))


def test_compute_capabilities():
    assert build_engine(tiny(), BuildRequest("rtx", compute_capabilities=("89", "120"))).plan
    with pytest.raises(ValueError, match="has no compute capability 61"):
        build_engine(tiny(), BuildRequest("rtx", compute_capabilities=("61",)))


@pytest.mark.skipif(cannot_run("rtx") is None, reason="there is a GPU here")
def test_the_current_gpu_must_be_there():
    request = BuildRequest("rtx", compute_capabilities=("current",))
    with pytest.raises(ValueError, match=r"needs an NVIDIA GPU and driver; --compute-capability"):
        build_engine(tiny(), request)


def test_interrupt_stops_the_build():
    def log(_line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(tiny(), RTX, log)


@pytest.mark.skipif(available("tensorrt"), reason="TensorRT is installed here")
def test_without_tensorrt():
    with pytest.raises(
        MissingDependencyError, match=r"pip install 'edgedeblur\[tensorrt\]' .*--trt rtx"
    ):
        build_engine(tiny(), BuildRequest("tensorrt"))


def test_old_versions_have_no_strongly_typed_networks():
    with pytest.raises(MissingDependencyError, match=r"8\.6\.1 is too old; 10\.0 or newer"):
        _check_version(SimpleNamespace(__version__="8.6.1"), "tensorrt")
    _check_version(SimpleNamespace(__version__="11.0.0.12"), "tensorrt")
