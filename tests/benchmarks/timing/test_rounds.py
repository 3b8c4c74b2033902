import dataclasses

import numpy as np
import pytest
from edgedeblur.benchmarks.report.captions import conventions
from edgedeblur.benchmarks.result import Footprint, Row
from edgedeblur.benchmarks.timing.rounds import pool, timed_rows
from edgedeblur.benchmarks.workers.jobs import Job

from ..report.test_report import result
from ..support import conditions, latency

COUNTED = Footprint(1, 1, (64, 96), 1, 2, 1, None, "graph")


def job(name):
    return Job(name, name, conditions(), (), latency=True, quality=False)


def test_pooled_percentiles_are_those_of_all_runs_together():
    rng = np.random.default_rng(0)
    times = [list(rng.gamma(2.0, 30.0, count)) for count in (5, 9, 2)]
    found = pool([latency(part, peak=peak) for part, peak in zip(times, (5, 9, 7), strict=True)])
    together = np.concatenate(times)
    wanted = np.percentile(together, [5, 50, 95])
    for part in (found.infer, found.end_to_end, found.pre, found.post):
        assert (part.p5_ms, part.median_ms, part.p95_ms) == pytest.approx(tuple(wanted))
    assert found.runs == 16
    assert found.round_medians_ms == pytest.approx([np.median(part) for part in times])
    assert found.peak_memory_bytes == 9
    assert found.samples is None


def test_one_round_keeps_its_numbers():
    single = latency([3.0, 1.0, 2.0])
    kept = dataclasses.replace(single, samples=None, infer_runs_ms=(3.0, 1.0, 2.0))
    assert pool([single]) == kept


def test_rounds_without_samples_cannot_be_pooled():
    with pytest.raises(ValueError, match="all their samples"):
        pool([])
    with pytest.raises(ValueError, match="all their samples"):
        pool([latency([1.0]), dataclasses.replace(latency([1.0]), samples=None)])


def test_rows_take_turns_and_are_counted_once():
    seen = []

    def run(job):
        seen.append((job.label, job.footprint))
        return Row(job.label, latency=latency([float(len(seen))]), footprint=COUNTED)

    rows = timed_rows([job("a"), job("b")], 3, run)
    assert [label for label, _ in seen] == ["a", "b"] * 3
    assert [counted for _, counted in seen] == [True, True] + 4 * [False]
    assert [row.latency.round_medians_ms for row in rows] == [(1.0, 3.0, 5.0), (2.0, 4.0, 6.0)]
    assert rows[1].latency.infer.median_ms == 4.0
    assert rows[0].footprint == COUNTED


def test_a_row_that_fails_keeps_what_it_has_and_stops():
    seen = []

    def run(job):
        seen.append(job.label)
        if seen.count("a") == 2 and job.label == "a":
            return Row("a", error="a: out of breath")
        return Row(job.label, latency=latency([1.0]))

    broken, whole = timed_rows([job("a"), job("b")], 3, run)
    assert seen == ["a", "b", "a", "b", "b"]
    assert broken.error == "a: out of breath"
    assert broken.latency.runs == 1
    assert whole.latency.runs == 3


def test_rounds_are_named_beside_the_numbers():
    several = dataclasses.replace(conditions(), rounds=3, runs=5)
    measured = pool([latency([1.0] * 5)] * 3)
    shown = dataclasses.replace(result(Row("a", latency=measured)), conditions=several)
    text = " ".join(conventions(shown))
    assert "median of 15 runs, 5 of each of 3 processes after the first and 1 more" in text
