"""Statistics and equalisation of small graphs, in numbers that a person can check."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from edgedeblur.quantize.ptq.equalise import equalise
from edgedeblur.quantize.ptq.ranges import StatsCollector, TensorStats, activations, collect
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, held, *, channels=3):
    """A graph over image (N, channels, H, W) that gives `out`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, "h", "w"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in held.items()]
    graph = helper.make_graph(nodes, "g", [image], [out], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def node(kind, inputs, output, **more):
    return helper.make_node(kind, inputs, [output], **more)


def halving():
    """image -> Relu a -> Mul by -0.5 (nothing that is watched) -> Clip out."""
    nodes = [
        node("Relu", ["image"], "a"),
        node("Mul", ["a", "factor"], "b"),
        node("Clip", ["b", "low"], "out"),
    ]
    return model_of(nodes, {"factor": -0.5, "low": -9.0})


def ramp(height, width, start=0.0):
    count = 3 * height * width
    return (np.arange(count, dtype=np.float32) + np.float32(start)).reshape(1, 3, height, width)


def test_the_input_and_every_listed_operation_are_watched():
    assert activations(halving()) == ["image", "a", "out"]


def test_extremes_means_and_every_fourth_value():
    images, calls = [ramp(8, 6, -40.0), ramp(8, 6, 100.0)], []
    found = collect(
        halving(), images, count=2, threads=1, progress=lambda *call: calls.append(call)
    )
    assert list(found) == ["image", "a", "out"]
    assert (found["image"].low, found["image"].high) == (-40.0, 243.0)
    assert (found["a"].low, found["a"].high) == (0.0, 243.0)
    assert (found["out"].low, found["out"].high) == (-9.0, 0.0)
    # Each channel of a ramp: 48 values, so a mean of 23.5 above its first.
    first, second = np.array([23.5, 71.5, 119.5]) - 40, np.array([123.5, 171.5, 219.5])
    assert found["image"].means == pytest.approx((first + second) / 2)
    assert found["image"].means.dtype == np.float64
    for name, values in (("image", images), ("a", [np.maximum(i, 0) for i in images])):
        kept = np.concatenate([value[:, :, ::4, ::4].ravel() for value in values])
        assert found[name].values.tolist() == kept.tolist()
    assert calls == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("count", "step"),
    [
        (0, 1), (1, 1), (100, 1),  # a thousand values and more of each picture
        (1000, 12), (900, 10),  # 100 and 111 of 1200 values
        (2000, 18), (10**6, 18),  # 64 at least
    ],
)  # fmt: skip
def test_pictures_share_a_hundred_thousand_values(count, step):
    image = ramp(80, 80)
    found = StatsCollector(halving(), 1).collect([image], count=count)
    values = image[:, :, ::4, ::4].ravel()
    assert len(values) == 1200
    assert found["image"].values.tolist() == values[::step].tolist()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_the_picture_that_is_not_finite_is_named(bad):
    broken = ramp(4, 4)
    broken[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="calibration picture 2: image has values"):
        collect(halving(), [ramp(4, 4), broken], count=2, threads=1)
    with pytest.raises(ValueError, match="no calibration pictures"):
        collect(halving(), [], count=0, threads=1)


FIRST = np.array([8.0, -2.0, 0.0, 3.0]).reshape(4, 1, 1, 1) * np.array([0.5, 1, -0.25]).reshape(
    1, 3, 1, 1
)
SECOND = np.array([[2.0, 1.0, 5.0, 0.0], [-0.5, -8.0, 1.0, 0.0]]).reshape(2, 4, 1, 1)
BIAS = np.array([4.0, 2.0, 1.0, 1.0])
# Roots of 8 / 2 and of 2 / 8; a channel without weights on either side stays as it is.
SCALE = np.array([2.0, 0.5, 1.0, 1.0])


def stats(**highs):
    empty = np.zeros(0)
    return {name: TensorStats(0.0, high, empty, empty) for name, high in highs.items()}


def two_layers(middle="Relu", *, bias=True, second=SECOND, ceiling=6.0, more=(), first=FIRST):
    held = {"w1": first, "w2": second, "zero": 0.0}
    inputs = ["image", "w1"]
    if bias:
        held["b1"] = BIAS
        inputs.append("b1")
    limits = []
    if middle == "Clip":
        limits = ["zero"]
        if ceiling is not None:
            held["six"] = ceiling
            limits.append("six")
    group = second.shape[0] if second.shape[1] == 1 else 1
    nodes = [
        node("Conv", inputs, "x"),
        node(middle, ["x", *limits], "y"),
        node("Conv", ["y", "w2"], "out", group=group),
    ]
    return model_of([*nodes, *more], held)


def weights(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def answers(model, image):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["out"], {"image": image})[0]


def check_same(model, even):
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 3, 2)).astype(np.float32)
    assert answers(even, image) == pytest.approx(answers(model, image), abs=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_weights_meet_at_the_root_of_their_ratio(bias):
    model = two_layers(bias=bias)
    even, count = equalise(model, {})
    assert count == 1
    held = weights(even)
    assert held["w1"] == pytest.approx(FIRST / SCALE.reshape(4, 1, 1, 1))
    assert held["w2"] == pytest.approx(SECOND * SCALE.reshape(1, 4, 1, 1))
    if bias:
        assert held["b1"] == pytest.approx([2.0, 4.0, 1.0, 1.0])
    check_same(model, even)
    assert weights(model)["w1"] == pytest.approx(FIRST)  # the given model stays


def test_a_bias_without_a_name_is_no_bias():
    model = two_layers(bias=False)
    model.graph.node[0].input.append("")
    even, count = equalise(model, {})
    assert count == 1
    check_same(model, even)


def test_a_depthwise_convolution_receives_one_channel_each():
    second = np.array([2.0, -8.0, 5.0, 0.0]).reshape(4, 1, 1, 1) * np.ones((1, 1, 1, 2))
    model = two_layers(second=second)
    even, count = equalise(model, {})
    assert count == 1
    assert weights(even)["w2"] == pytest.approx(second * SCALE.reshape(4, 1, 1, 1))
    check_same(model, even)


@pytest.mark.parametrize(
    ("high", "ceiling", "count"),
    [(5.9, 6.0, 1), (6.0, 6.0, 1), (6.1, 6.0, 0), (5.0, None, 0), (0.5, 1.0, 1), (1.5, 1.0, 0)],
)
def test_an_idle_limit_becomes_a_relu(high, ceiling, count):
    model = two_layers("Clip", ceiling=ceiling)
    even, found = equalise(model, stats(x=high))
    assert found == count
    middle = even.graph.node[1]
    assert middle.op_type == ("Relu" if count else "Clip")
    assert len(middle.input) == (1 if count else 2 + (ceiling is not None))
    if count:
        assert weights(even)["w1"] == pytest.approx(FIRST / SCALE.reshape(4, 1, 1, 1))


def test_layers_that_others_hear_or_share_are_left_alone():
    listening = [
        two_layers(more=[node("Neg", ["x"], "heard")]),
        two_layers(more=[node("Neg", ["y"], "heard")]),
        two_layers(more=[node("Neg", ["w1"], "heard")]),
        two_layers(more=[node("Neg", ["w2"], "heard")]),
        two_layers("Tanh"),
    ]
    alone = model_of([node("Conv", ["image", "w"], "x"), node("Relu", ["x"], "out")], {"w": FIRST})
    other = model_of(
        [
            node("Conv", ["image", "w1"], "x"),
            node("Relu", ["x"], "y"),
            node("Neg", ["y"], "out"),
        ],
        {"w1": FIRST},
    )
    no_conv = model_of(
        [
            node("Neg", ["image"], "x"),
            node("Relu", ["x"], "y"),
            node("Conv", ["y", "w2"], "out"),
        ],
        {"w2": FIRST},
    )
    for model in (*listening, alone, other, no_conv):
        even, count = equalise(model, {})
        assert count == 0
        assert even.SerializeToString() == model.SerializeToString()


def test_a_layer_left_alone_does_not_stop_the_search():
    nodes = [
        node("Neg", ["image"], "start"),
        node("Conv", ["start", "w0"], "s"),
        node("Tanh", ["s"], "t"),
        node("Conv", ["t", "w1"], "x"),
        node("Relu", ["x"], "y"),
        node("Conv", ["y", "w2"], "z"),
        node("Clip", ["z", "zero", "two"], "c"),
        node("Conv", ["c", "w3"], "p"),
        node("Relu", ["p"], "q"),
        node("Conv", ["q", "w4"], "out"),
    ]
    square = np.ones((2, 2, 1, 1))
    held = {"w0": np.ones((3, 3, 1, 1)), "w1": FIRST, "w2": SECOND, "w3": square * 9, "w4": square}
    even, count = equalise(model_of(nodes, {**held, "zero": 0.0, "two": 2.0}), stats(z=3.0))
    assert count == 2  # the tanh and the busy limit are passed over
    assert weights(even)["w1"] == pytest.approx(FIRST / SCALE.reshape(4, 1, 1, 1))
    assert weights(even)["w4"] == pytest.approx(square * 3)
