"""Merging the quality of shards: the figures of one process, to the last digit."""

import dataclasses
import math
import os
import random
import subprocess
import sys

import pytest
from edgedeblur.benchmarks.arguments import build_parser
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.quality.measure import summarise
from edgedeblur.benchmarks.quality.scores import PictureDrift, PictureScore
from edgedeblur.benchmarks.result import Row, read_result
from edgedeblur.benchmarks.workers.jobs import PictureFiles
from edgedeblur.benchmarks.workers.shards import merge_rows, shard_entries, split

FILES = [PictureFiles(f"p{n}", f"b{n}.png", (f"s{n}.png",)) for n in range(7)]


def scores(count, seed=0):
    draw = random.Random(seed)
    return [
        PictureScore(
            name=f"p{n}",
            sharp=f"s{n}.png",
            psnr_db=draw.uniform(20, 40),
            ssim=draw.random(),
            blurry_psnr_db=draw.uniform(20, 30),
            blurry_ssim=draw.random(),
            drift=PictureDrift(
                delta_psnr_db=draw.gauss(0, 1),
                delta_ssim=draw.gauss(0, 0.1),
                psnr_db=draw.uniform(50, 110),
                ssim=draw.random(),
                max_abs=draw.random(),
                residual_signal=10 ** draw.uniform(-8, 8),
                residual_noise=10 ** draw.uniform(-12, 2),
            ),
        )
        for n in range(count)
    ]


def row(listed, **changes):
    quality = summarise(listed, "torch") if listed else None
    return dataclasses.replace(Row(engine="a.onnx", sha256="00", quality=quality), **changes)


def test_shards_hold_every_picture_once_in_order():
    shards = split(FILES, 3)
    assert [[p.name for p in shard] for shard in shards] == [
        ["p0", "p1", "p2"], ["p3", "p4", "p5"], ["p6"]
    ]  # fmt: skip
    assert split(FILES, 100) == [tuple(FILES)]
    with pytest.raises(ValueError, match="a picture at least, not 0"):
        split(FILES, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 16, 100])
def test_merged_figures_are_those_of_one_process_to_the_last_digit(size):
    every = scores(101)
    shards = [[row(every[at : at + size])] for at in range(0, len(every), size)]
    (merged,) = merge_rows(shards)
    assert merged == row(every)
    # Independent of `summarise`: exact sums over the pictures themselves.
    assert merged.quality.psnr_db == math.fsum(s.psnr_db for s in every) / 101
    worst = min(every, key=lambda s: s.drift.psnr_db)
    assert merged.quality.drift.worst_picture == worst.name
    means = [math.fsum(s.psnr_db for s in every[at : at + 100]) / len(every[at : at + 100])
             for at in (0, 100)]  # fmt: skip
    assert merged.quality.psnr_db != sum(means) / 2  # what a mean of means would have been


def test_the_first_error_is_the_rows_error():
    every = scores(6)
    bad = row([], error="a.onnx: p3: damaged")
    worse = row([], error="a.onnx: p5: damaged")
    (merged,) = merge_rows([[row(every[:2])], [bad], [worse]])
    assert (merged.error, merged.quality) == ("a.onnx: p3: damaged", None)


def test_shards_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no shards"):
        merge_rows([])
    with pytest.raises(ValueError, match="different rows"):
        merge_rows([[row(scores(1))], [row(scores(1), engine="b.onnx")]])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ray", "--baseline", "stock"], "leave out --baseline"),
        (["--ray", "--no-quality"], "leave out --no-quality"),
        (["--ray", "--report", "r"], "leave out --report"),
        (["--ray", "--sizes", "64x64,96x96"], "leave out --sizes"),
        (["--shard", "4"], "--shard needs --ray"),
        (["--ray", "http://head"], "no address of a Ray cluster"),
    ],
)
def test_wrong_usage(capsys, words, told):
    with pytest.raises(SystemExit, match="2"):
        main(["--engine", "a.onnx", *words])
    assert told in capsys.readouterr().err


def test_jobs_of_a_shard_measure_no_latency():
    from edgedeblur.benchmarks.plan import Entry
    from edgedeblur.benchmarks.workers.jobs import Job

    from ..support import conditions

    job = Job("a.onnx", "a", conditions(), tuple(FILES), latency=True, quality=True)
    failed, first = shard_entries(
        [Entry("gone.onnx", error="no such file"), Entry("a", job)], tuple(FILES[:2])
    )
    assert failed.error == "no such file"
    assert first.job.pictures == tuple(FILES[:2])
    assert not first.job.latency
    assert build_parser().parse_args(["--engine", "a", "--ray"]).ray == "local"


@pytest.mark.heavy
def test_on_ray_the_figures_are_the_same(tmp_path):
    from edgedeblur.export.cli import main as export

    engine = tmp_path / "a.onnx"
    size = ("--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--size", "256x256")
    assert export([*size, "-o", str(engine)]) == 0
    words = ["--engine", str(engine), "--limit", "3", "--threads", "1"]
    code = "import sys; from edgedeblur.benchmarks.cli import main; sys.exit(main(sys.argv[1:]))"
    told = []
    for name, more in (("one.json", ["--no-latency"]), ("ray.json", ["--shard", "2", "--ray"])):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--json", str(tmp_path / name), *more],
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stderr)
    assert "no latency is measured with --ray, since workers share machines" in told[1]
    one, ray = read_result(tmp_path / "one.json"), read_result(tmp_path / "ray.json")
    assert ray.rows == one.rows
    assert [row.quality.pictures for row in ray.rows] == [3, 3]  # PyTorch's and the artifact's
    assert ray.rows[1].quality.drift.worst_psnr_db > 80
