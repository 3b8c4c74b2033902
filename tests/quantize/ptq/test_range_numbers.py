"""Statistics of small graphs, in numbers that a person can check."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.quantize.ptq.ranges import StatsCollector, activations, collect
from onnx import TensorProto, helper

from tests.quantize.support import model_of, node


def halving():
    """image -> Relu a -> Div by -2 (nothing that is watched) -> Clip out."""
    nodes = [
        node("Relu", ["image"], "a"),
        node("Div", ["a", "factor"], "b"),
        node("Clip", ["b", "low"], "out"),
    ]
    return model_of(nodes, {"factor": -2.0, "low": -9.0})


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


@pytest.mark.parametrize(
    ("sides", "size", "count", "step"),
    [
        ((88, 60), 990, 1000, 9),  # 100 of 990; 99 would take every tenth
        ((240, 404), 18_180, 11, 2),  # 9090 of 18180; 9091 would take all
        ((800, 668), 100_200, 1, 1),  # all of a lone picture's
        ((64, 96), 1152, 10**6, 18),  # 64; 65 would take every 17th
    ],
)
def test_the_share_of_a_picture_is_exact(sides, size, count, step):
    image = ramp(*sides)
    values = StatsCollector(halving(), 1).collect([image], count=count)["image"].values
    kept = image[:, :, ::4, ::4].ravel()
    assert len(kept) == size
    assert values.tolist() == kept[::step].tolist()


def test_a_graph_may_list_its_constants_among_its_inputs():
    model = halving()
    model.graph.input.append(helper.make_tensor_value_info("factor", TensorProto.FLOAT, []))
    assert activations(model) == ["image", "a", "out"]
    assert collect(model, [ramp(4, 4)], count=1, threads=1)["a"].high == 47.0


def test_extremes_are_single_numbers_and_the_session_is_quiet(monkeypatch):
    collector, shapes = StatsCollector(halving(), 3), []
    run = collector._session.run

    class Session:
        def run(self, *arguments):
            found = run(*arguments)
            shapes.extend(values.shape for values in found)
            return found

    options = collector._session.get_session_options()
    assert (options.intra_op_num_threads, options.log_severity_level) == (3, 3)  # errors only
    monkeypatch.setattr(collector, "_session", Session())
    collector.collect([ramp(8, 4)], count=1)
    assert shapes == [(), (), (1, 3, 2, 1), (3,)] * 3
