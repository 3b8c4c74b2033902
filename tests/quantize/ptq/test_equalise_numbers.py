"""Equalisation of two layers, in numbers that a person can check."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from edgedeblur.quantize.ptq.equalise import equalise
from edgedeblur.quantize.ptq.ranges import TensorStats
from onnx import numpy_helper

from tests.quantize.support import model_of, node

FIRST = np.array([8.0, -0.5, 0.0, 3.0]).reshape(4, 1, 1, 1) * np.array([0.5, 1, -0.25]).reshape(
    1, 3, 1, 1
)
SECOND = np.array([[2.0, 1.0, 5.0, 0.0], [-0.5, -2.0, 1.0, 0.0]]).reshape(2, 4, 1, 1)
BIAS = np.array([3.0, 2.0, 1.5, 1.0])
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
        assert held["b1"] == pytest.approx([1.5, 4.0, 1.5, 1.0])
    check_same(model, even)
    assert weights(model)["w1"] == pytest.approx(FIRST)  # the given model stays


def test_a_bias_without_a_name_is_no_bias():
    model = two_layers(bias=False)
    model.graph.node[0].input.append("")
    even, count = equalise(model, {})
    assert count == 1
    check_same(model, even)


def test_a_depthwise_convolution_receives_one_channel_each():
    second = np.array([2.0, -2.0, 5.0, 0.0]).reshape(4, 1, 1, 1) * np.ones((1, 1, 1, 2))
    model = two_layers(second=second)
    even, count = equalise(model, {})
    assert count == 1
    assert weights(even)["w2"] == pytest.approx(second * SCALE.reshape(4, 1, 1, 1))
    check_same(model, even)


@pytest.mark.parametrize(
    ("high", "ceiling", "count"),
    [
        (5.9, 6.0, 1),
        (6.0, 6.0, 1),
        (6.1, 6.0, 0),
        (5.0, None, 0),
        (-1.0, None, 0),
        (0.5, 1.0, 1),
        (1.5, 1.0, 0),
    ],
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
    added = model_of(
        [node("Add", ["image", "w1"], "x"), *no_conv.graph.node[1:]],
        {"w1": np.ones((1, 3, 1, 1)), "w2": FIRST},
    )
    adding = model_of(
        [*other.graph.node[:2], node("Add", ["y", "w2"], "out")],
        {"w1": FIRST, "w2": np.ones((1, 4, 1, 1))},
    )
    boundless = two_layers("Clip")
    del boundless.graph.node[1].input[1:]
    for model in (*listening, alone, other, no_conv, added, adding, boundless):
        even, count = equalise(model, stats(x=3.0))
        assert count == 0
        assert even.SerializeToString() == model.SerializeToString()


def test_a_layer_left_alone_does_not_stop_the_search():
    nodes = [
        node("Neg", ["image"], "start"),
        node("Conv", ["start", "w0"], "s"),
        node("Tanh", ["s"], "t"),
        node("Conv", ["t", "w00"], "u"),
        node("Relu", ["u"], "v"),
        node("Neg", ["v"], "n"),
        node("Conv", ["n", "w1"], "x"),
        node("Relu", ["x"], "y"),
        node("Conv", ["y", "w2"], "z"),
        node("Clip", ["z", "zero", "two"], "c"),
        node("Conv", ["c", "w3"], "p"),
        node("Relu", ["p"], "q"),
        node("Conv", ["q", "w4"], "out"),
    ]
    square = np.ones((2, 2, 1, 1))
    held = {
        "w0": np.ones((3, 3, 1, 1)),
        "w00": np.ones((3, 3, 1, 1)),
        "w1": FIRST,
        "w2": SECOND,
        "w3": square * 9,
        "w4": square,
    }
    even, count = equalise(model_of(nodes, {**held, "zero": 0.0, "two": 2.0}), stats(z=3.0))
    assert count == 2  # the tanh, the negation and the busy limit are passed over
    assert weights(even)["w1"] == pytest.approx(FIRST / SCALE.reshape(4, 1, 1, 1))
    assert weights(even)["w4"] == pytest.approx(square * 3)
