"""One line where a run measured int8 to be slower than a float target."""

from __future__ import annotations

import dataclasses

import pytest
from edgedeblur.benchmarks.report.captions import conventions
from edgedeblur.benchmarks.report.sizes import size_table
from edgedeblur.benchmarks.report.slow_int8 import slow_int8_lines
from edgedeblur.benchmarks.result import Footprint, Row

from ..support import latency
from .test_report import result


def row(target, ms, **changes):
    fields = {"backbone": "mobilenet_dsc", "network": "mobilenet_dsc", "runtime": "openvino"}
    return Row(f"net_{target}", target=target, latency=latency([ms]), **{**fields, **changes})


# As measured on a processor with AMX, 736x1280.
INT8 = row("openvino-int8", 53.0, precision="int8, bf16 where the recipe keeps float")
HALF = row("openvino-fp16", 50.0, precision="fp16 weights, bf16 arithmetic")
WHOLE = row("openvino-fp32", 112.0, precision="fp32")
LINE = (
    "int8 is slower here at 64x96: net_openvino-int8 takes 53.0 ms, net_openvino-fp16 "
    "(fp16 weights, bf16 arithmetic) 50.0 ms."
)


def test_the_line_names_both_times_and_the_arithmetic():
    assert slow_int8_lines([WHOLE, INT8, HALF]) == [LINE]
    assert LINE in conventions(result(WHOLE, INT8, HALF))


def test_the_fastest_of_each_kind_is_compared():
    faster = row("openvino-int8", 49.0)
    assert slow_int8_lines([INT8, HALF, faster]) == []
    assert slow_int8_lines([INT8, WHOLE]) == []
    assert slow_int8_lines([INT8, dataclasses.replace(HALF, latency=latency([53.0]))]) == []


@pytest.mark.parametrize(
    "other",
    [
        {"network": "mobilenet_dsc_slim"},
        {"runtime": "onnxruntime"},
        {"latency": latency([50.0], size=(32, 32))},
        {"latency": None},
        {"baseline": "stock"},
        {"is_reference": True},
        {"emulated": True},
        {"error": "net: failed"},
        {"target": None},
    ],
)
def test_rows_that_say_nothing_of_each_other_are_not_compared(other):
    assert slow_int8_lines([INT8, dataclasses.replace(HALF, **other)]) == []


def test_results_of_before_networks_had_names_go_by_backbone():
    rows = [dataclasses.replace(row, network=None) for row in (INT8, HALF)]
    assert slow_int8_lines(rows) == [LINE]
    assert slow_int8_lines([rows[0], dataclasses.replace(rows[1], backbone="mobilenet")]) == []


def test_sizes_are_told_by_network():
    def sized(target, network, count):
        footprint = Footprint(count, 1, (64, 96), None, None, None, None, "graph")
        return dataclasses.replace(row(target, 1.0, network=network), footprint=footprint)

    rows = [
        sized("onnx-fp32", "mobilenet_dsc", 8_000_000),
        sized("onnx-int8", "mobilenet_dsc", 2_000_000),
        sized("onnx-fp32", "mobilenet_dsc_slim", 4_000_000),
    ]
    assert size_table(rows) == [
        ["target", "mobilenet_dsc, MB", "mobilenet_dsc_slim, MB"],
        ["onnx-fp32", "8.00", "4.00"],
        ["onnx-int8", "2.00 (25 %)", "-"],
    ]
