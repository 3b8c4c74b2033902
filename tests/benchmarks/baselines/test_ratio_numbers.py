"""Which rows are compared, and what they are divided by."""

from __future__ import annotations

import dataclasses

import pytest
from edgedeblur.benchmarks.baselines.ratios import with_ratios
from edgedeblur.benchmarks.result import Row

from ..support import latency


def row(ms, **changes):
    fields = {"runtime": "ort", "precision": "fp32", "checkpoint_sha256": "m" * 64}
    size = changes.pop("size", (64, 96))
    return Row("row", latency=latency([ms], size=size), **{**fields, **changes})


WORDS = "reference stock"
REFERENCE, STOCK = WORDS.split()  # equal texts, other objects


def ratios(*rows):
    return [(found.x_baseline, found.x_stock) for found in with_ratios(rows)]


def test_the_others_time_is_divided_by_the_rows_own():
    found = ratios(row(120.0, baseline=REFERENCE), row(48.0, baseline=STOCK), row(30.0))
    assert found == [(1.0, 0.4), (2.5, 1.0), (4.0, 1.6)]


@pytest.mark.parametrize("baseline", [None, "", "a", "s", "z", "stocks"])
def test_other_rows_are_no_baselines(baseline):
    assert ratios(row(9.0, baseline=baseline), row(3.0)) == [(None, None)] * 2


@pytest.mark.parametrize(
    "other",
    [
        {"size": (64, 95)}, {"size": (64, 97)}, {"size": (65, 96)},
        {"checkpoint_sha256": "a" * 64}, {"checkpoint_sha256": "z" * 64},
    ],
)  # fmt: skip
def test_another_size_or_checkpoint_is_not_compared(other):
    for kind in (REFERENCE, STOCK):
        assert ratios(row(9.0, baseline=kind, **other), row(3.0))[1] == (None, None)


@pytest.mark.parametrize(
    "other", [{"runtime": "a"}, {"runtime": "z"}, {"precision": "bf16"}, {"precision": "int8"}]
)
def test_stock_is_the_same_runtime_in_the_same_precision(other):
    assert ratios(row(9.0, baseline=STOCK, **other), row(3.0))[1] == (None, None)
    assert ratios(row(9.0, baseline=REFERENCE, **other), row(3.0))[1] == (3.0, None)


def test_equal_values_of_other_objects_are_the_same():
    size = [64, 1000]
    weights, runtime = "-".join(["m"] * 33), "-".join(["o", "rt"])
    first = row(9.0, baseline=STOCK, checkpoint_sha256=weights, runtime=runtime, size=tuple(size))
    weights, runtime = "-".join(["m"] * 33), "-".join(["o", "rt"])
    second = row(3.0, checkpoint_sha256=weights, runtime=runtime, size=tuple(size))
    assert ratios(first, second)[1] == (None, 3.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("f32", "fp32"), ("fp16 weights, bf16 arithmetic", "bf16"), (None, ""),
        ("int8 weights, f32 arithmetic", "fp32"), ("a, b, fp16 arithmetic", "fp16"),
    ],
)  # fmt: skip
def test_precisions_are_those_of_the_arithmetic(first, second):
    assert ratios(row(9.0, baseline=STOCK, precision=first), row(3.0, precision=second))[1] == (
        None, 3.0,
    )  # fmt: skip


def test_rows_without_a_latency_are_passed_over():
    failed = dataclasses.replace(row(9.0, baseline=REFERENCE), latency=None)
    assert ratios(failed, row(6.0, baseline=REFERENCE), row(3.0), Row("none"))[2:] == [
        (2.0, None),
        (None, None),
    ]
