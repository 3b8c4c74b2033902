import math

import numpy as np
import pytest
from edgedeblur.export.debug.bisect import smallest_float_set
from edgedeblur.export.debug.compare import compare
from edgedeblur.export.debug.show import body
from edgedeblur.quantize.quality_drop import QualityDrop
from edgedeblur.quantize.search.sensitivity import Limits

IMAGES = [np.zeros((1, 3, 2, 2), np.float32)]


class Made:
    """Taps that give what they are told, and note how many layers were asked for at once."""

    def __init__(self, outputs):
        self.outputs, self.asked = outputs, []

    @property
    def layers(self):
        return tuple(self.outputs)

    def run(self, image, wanted):
        self.asked.append(len(wanted))
        return {layer: np.float32(self.outputs[layer]) for layer in wanted}


def chain(names):
    return {name: (() if place == 0 else (names[place - 1],)) for place, name in enumerate(names)}


def compared(first, second, *, ceiling=100.0, inputs=None):
    taps = Made(first), Made(second)
    return compare(*taps, IMAGES, inputs or chain(list(first)), ceiling_db=ceiling)


def test_the_ratio_is_energy_over_the_differences_energy():
    found = compared({"a": [3.0, 4.0]}, {"a": [3.0, 4.5]})
    assert found.layers[0].snr_db == pytest.approx(10 * math.log10(25 / 0.25))  # 20 dB
    assert compared({"a": [1.0]}, {"a": [1.0]}).layers[0].snr_db == math.inf


def test_the_first_fall_is_where_the_error_enters_not_where_it_is_largest():
    one = np.ones(4)
    outputs = {"a": one, "b": one, "c": one}
    # 60, 40 and 30 dB: b loses 20 dB, c another 10 that it does not cause alone.
    found = compared(outputs, {"a": one + 1e-3, "b": one + 1e-2, "c": one + 10**-1.5})
    assert found.first_fall.name == "a"  # 40 dB below what float32 keeps
    found = compared(outputs, {"a": one + 1e-3, "b": one + 1e-2, "c": one}, ceiling=60.0)
    assert found.first_fall.name == "b"
    assert found.first_fall.fall_db == pytest.approx(20.0, abs=1e-3)


def test_a_parallel_branch_does_not_hide_or_cause_a_fall():
    one = np.ones(4)
    inputs = {"a": (), "bad": ("a",), "good": ("a",), "joined": ("bad", "good")}
    outputs = dict.fromkeys(inputs, one)
    broken = {**outputs, "bad": one * 1.5, "joined": one * 1.5}
    found = compared(outputs, broken, inputs=inputs)
    assert [layer.name for layer in found.layers if layer.fall_db > 6] == ["bad"]


def test_other_shapes_and_dead_layers_are_falls():
    found = compared({"a": np.ones(4), "b": np.ones(4)}, {"a": np.ones(5), "b": np.ones(4)})
    assert (found.first_fall.name, found.first_fall.shapes_differ) == ("a", True)
    assert compared({"a": np.ones(2)}, {"a": [np.nan, 1]}).first_fall.name == "a"
    assert body(found, None)["layers"][0] == {
        "layer": "a", "snr_db": None, "inputs_db": 100.0, "fall_db": None, "shapes_differ": True,
    }  # fmt: skip


def test_memory_is_bounded_by_reading_layers_in_chunks():
    outputs = {f"l{number}": np.ones(2) for number in range(40)}
    first, second = Made(outputs), Made(outputs)
    compare(first, second, IMAGES, {}, ceiling_db=100.0)
    assert first.asked == second.asked == [16, 16, 8]


def test_layers_of_one_side_are_named_and_none_in_common_is_an_error():
    found = compared({"a": [1.0], "b": [1.0]}, {"b": [1.0], "c": [1.0]})
    assert (found.only_first, found.only_second) == (("a",), ("c",))
    with pytest.raises(ValueError, match="no layer in common"):
        compared({"a": [1.0]}, {"b": [1.0]})


def drop(snr):
    return QualityDrop(1, 0.0, 0.0, 50.0, snr, "p", 0.0)


@pytest.mark.parametrize("needed", [set(), {"c"}, {"a", "e"}, set("abcdef")])
def test_the_float_set_is_found_and_holds_nothing_that_can_be_spared(needed):
    asked = []

    def measure(layers):
        asked.append(tuple(layers))
        return drop(30.0 if needed <= set(layers) else 10.0)

    found = smallest_float_set("abcdef", measure, Limits(0.1, 20.0))
    assert found.met
    assert set(found.layers) == needed
    assert len(asked) < 16


def test_a_drop_that_no_float_layer_mends_is_said_to_stay():
    found = smallest_float_set("ab", lambda _: drop(3.0), Limits(0.1, 20.0))
    assert not found.met
    assert found.layers == ("a", "b")
