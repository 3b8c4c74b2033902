import numpy as np
import onnx
import pytest
from edgedeblur.benchmarks.counts.footprint import measure_footprint
from edgedeblur.benchmarks.counts.module_counts import count_module
from edgedeblur.benchmarks.counts.onnx_counts import count_onnx
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.models.network.registry import build_generator
from edgedeblur.runtimes.artifact import read_manifest
from onnx import TensorProto, helper, numpy_helper

from ..support import SIZE, sharpening, write_artifact, write_graph

FRAME = (736, 1280)


def stored(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def test_strided_grouped_conv_by_hand(tmp_path):
    # (1, 4, 8, 12) -> 6 channels, groups 2, 3x3, stride 2: (1, 6, 4, 6); each output takes 2*9.
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 2],
                         pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"]),
    ]  # fmt: skip
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, [stored("w", 6, 2, 3, 3), stored("b", 6)], [1, 4, 8, 12], "x", "z")
    counts = count_onnx(path, (8, 12))
    assert counts.macs == 6 * 4 * 6 * 2 * 9
    assert counts.macs_elementwise == counts.macs + 2 * 6 * 4 * 6  # bias and ReLU
    assert counts.params == 6 * 2 * 9 + 6
    assert counts.macs_paper is None
    # float32: the picture, the weights and the result once each; the ReLU is free.
    assert counts.bytes_moved == 4 * (4 * 8 * 12 + 6 * 2 * 9 + 6 + 6 * 4 * 6)


def test_half_precision_moves_half_the_bytes(tmp_path):
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    moved = []
    for kind in (np.float32, np.float16):
        path = tmp_path / f"{kind.__name__}.onnx"
        weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), kind), "w")
        element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", element, [1, 3, 4, 4])],
            [helper.make_tensor_value_info("y", element, None)],
            [weight],
        )
        onnx.save(helper.make_model(graph), path)
        moved.append(count_onnx(path, (4, 4)).bytes_moved)
    assert moved == [4 * (48 + 6 + 32), 2 * (48 + 6 + 32)]


def test_transposed_conv_counts_from_its_input(tmp_path):
    # (1, 5, 4, 6), kernel 4, stride 2 -> (1, 7, 8, 12): every input element meets 7 * 16 weights.
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    path = tmp_path / "a.onnx"
    write_graph(path, [node], [stored("w", 5, 7, 4, 4)], ["n", 5, "h", "w_"], "x", "y")
    assert count_onnx(path, (4, 6)).macs == 5 * 4 * 6 * 7 * 16


def test_matrix_products_and_resize_by_hand(tmp_path):
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="nearest"),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    held = [
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        stored("w", 12, 5),
    ]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, held, [1, 3, "h", "w_"], "x", "y")
    counts = count_onnx(path, (4, 6))
    assert counts.macs == 3 * 8 * 5 * 12
    assert counts.macs_elementwise - counts.macs == 3 * 8 * 12
    assert counts.params == 60  # the scales are a setting


def test_quantised_weights_are_parameters_and_their_scales_are_not(tmp_path):
    held = [
        numpy_helper.from_array(np.ones((6, 4, 3, 3), np.int8), "q"),
        stored("scale", 6),
        numpy_helper.from_array(np.zeros(6, np.int8), "zero"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, held, [1, 4, 8, 12], "x", "y")
    counts = count_onnx(path, (8, 12))
    assert counts.params == 6 * 4 * 9
    assert counts.macs == 6 * 4 * 9 * 8 * 12


def test_shape_arithmetic_is_no_work(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Mul", ["s", "two"], ["t"]),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    held = [numpy_helper.from_array(np.array([1, 1, 2, 2], np.int64), "two")]
    path = tmp_path / "a.onnx"
    write_graph(path, nodes, held, [1, 3, "h", "w_"], "x", "y")
    assert count_onnx(path, (4, 6)).macs_elementwise == 3 * 4 * 6
    assert count_onnx(path, (4, 6)).params == 0


def test_another_size_than_the_fixed_one_is_refused(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    with pytest.raises(ValueError, match="height is fixed at 64, it cannot be 128"):
        count_onnx(path, (128, 96))


def test_control_flow_is_refused(tmp_path):
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "b", [], [value])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    held = [numpy_helper.from_array(np.array(True), "c")]
    path = tmp_path / "a.onnx"
    write_graph(path, [node], held, [1, 3, 4, 6], "x", "y")
    with pytest.raises(ValueError, match="control flow"):
        count_onnx(path, (4, 6))


def test_artifact_of_free_size_is_counted_at_the_size_asked(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening(), size=None)
    found = measure_footprint(path, read_manifest(path), (128, 32))
    assert found.size == (128, 32)
    assert found.macs == 3 * 27 * 128 * 32
    assert found.flops == 2 * found.macs
    assert found.macs_elementwise == found.macs + 2 * 3 * 128 * 32  # Add and Clip
    assert (found.params, found.bytes) == (81, path.stat().st_size)
    assert found.counted_from == "graph"


@pytest.mark.parametrize(("backbone", "giga"), [("mobilenet", 38.94), ("mobilenet_dsc", 9.59)])
def test_generators_at_a_padded_720p_frame(backbone, giga):
    generator = build_generator(backbone)
    other = conv_macs(build_generator(backbone), FRAME)
    counts = count_module(generator, FRAME)
    assert round(counts.macs / 1e9, 2) == giga
    assert counts.macs == other
    assert counts.macs_paper is None


# Kupyn et al., ICCV 2019, table 1: 43.75 G and 14.83 G.
@pytest.mark.parametrize(("backbone", "giga"), [("mobilenet", 43.75), ("mobilenet_dsc", 14.83)])
def test_paper_convention_is_within_two_percent(backbone, giga):
    generator = build_generator(backbone, decoder_norm="instance")
    counts = count_module(generator, FRAME, backbone=generator.fpn.features)
    assert counts.macs_paper == pytest.approx(giga * 1e9, rel=0.02)


def test_grouped_and_transposed_modules_by_hand():
    from torch import nn

    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), nn.BatchNorm2d(6), nn.ReLU6(),
        nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1, bias=False), nn.Tanh(),
    )  # fmt: skip
    counts = count_module(module, SIZE)
    half = SIZE[0] // 2 * SIZE[1] // 2
    assert counts.macs == 6 * 9 * half + 6 * 3 * 16 * half
    # bias 1, norm 2, ReLU6 1 per element of six half-size maps; tanh 1 at full size
    assert counts.macs_elementwise - counts.macs == 4 * 6 * half + 3 * SIZE[0] * SIZE[1]
    assert counts.params == 6 * 9 + 6 + 12 + 6 * 3 * 16


def test_a_format_without_a_counter_has_operations_only_at_its_manifests_size(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening(), size=None)
    manifest = read_manifest(path)
    unread = path.rename(tmp_path / "a.other")
    same = measure_footprint(unread, manifest, manifest.macs_size)
    assert (same.macs, same.flops) == (manifest.macs, 2 * manifest.macs)
    other = measure_footprint(unread, manifest, (128, 32))
    assert (other.size, other.macs, other.flops) == ((128, 32), None, None)
    assert other.params == same.params
