"""Results and saved pictures for the tests of the page."""

import dataclasses
import math

import numpy as np
from edgedeblur.benchmarks.quality.measure import ReportPicture
from edgedeblur.benchmarks.quality.scores import PictureScore, Quality
from edgedeblur.benchmarks.report.html.payload import Source
from edgedeblur.benchmarks.report.pictures import slug, write_each
from edgedeblur.benchmarks.result import BenchResult, DataSet, Environment, Footprint, Row
from edgedeblur.benchmarks.timing.rounds import pool

from ...support import conditions, latency

SCORES = (
    PictureScore("cat", "cat", 27.0, 0.9, 25.0, 0.8),
    PictureScore("dog", "dog", math.inf, 0.9, 30.0, 0.8),
)


def row(engine, times=(10.0, 12.0, 11.0), *, bytes_=1 << 20, psnr=27.0, size=(64, 96)):
    return Row(
        engine,
        norm="frozen",
        footprint=Footprint(bytes_, 1_000_000, size, 10**9, 2 * 10**9, 10**9, None, "graph"),
        latency=pool([latency(times, size=size)]),
        quality=Quality(2, psnr, 0.9, 27.5, 0.8, None, SCORES),
    )


def result(*rows, cpu="A CPU", pictures="ab" * 32, **changes):
    return BenchResult(
        dataclasses.replace(conditions(), **changes),
        DataSet("samples", "flat:blurry/sharp", "all", 2, pictures),
        Environment(cpu, 4, 2, None, "Linux", "3.11", None, {"torch": "2.9"}),
        rows,
        "2026-01-02",
    )


def source(name, *rows, **changes):
    return Source(name, result(*rows, **changes))


def save_pictures(folder, engines, names=("cat", "dog"), *, size=(48, 64), reference=True):
    """Noise as a benchmark leaves it in ``folder``; 'after' is 2 levels from PyTorch's output."""
    rng = np.random.default_rng(1)
    for number, name in enumerate(names):
        before, sharp = (rng.integers(0, 250, (*size, 3), np.uint8) for _ in range(2))
        torch = rng.integers(0, 250, (*size, 3), np.uint8)
        for engine in engines:
            known = torch if reference else None
            picture = ReportPicture("", name, before, torch + np.uint8(2), sharp, known)
            write_each(picture, number, folder / slug(engine))
    return before, sharp, torch


# What deblur-compress writes, less what a report does not show.
COMPRESS = {
    "network": "narrow",
    "unit": "ms",
    "budget": 31.0,
    "unpruned_cost": 65.0,
    "unpruned_gains_db": {"samples": 1.6, "val": 1.2},
    "machine": "AMD EPYC",
    "chosen": "even",
    "candidates": [
        {"name": "even", "cost": 30.5, "gains_db": {"samples": 0.1, "val": 0.3}, "fits": True},
        {"name": "wider", "cost": 44.0, "gains_db": {"samples": 0.5, "val": 0.7}, "fits": False},
    ],
    "gains_db": {"samples": 1.3, "val": 0.9},
}
