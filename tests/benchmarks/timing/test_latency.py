import subprocess
import sys
import time

import numpy as np
import pytest
from edgedeblur.benchmarks.timing.hook import intercept_infer
from edgedeblur.benchmarks.timing.latency import (
    crop_or_reflect,
    measure_latency,
    picture_size,
    spread,
    timed_open,
    to_network,
)
from edgedeblur.runtimes.registry import open_runner

from ..support import SIZE, conditions, picture, sharpening, write_artifact


@pytest.mark.parametrize("count", [1, 2, 20, 101])
def test_percentiles_are_numpys(count):
    times = np.random.default_rng(count).gamma(2.0, 30.0, count)
    found = spread(list(times))
    assert found.median_ms == pytest.approx(np.median(times))
    assert (found.p5_ms, found.p95_ms) == pytest.approx(tuple(np.percentile(times, (5, 95))))


@pytest.mark.parametrize("times", [[], [1.0, float("nan")]])
def test_nothing_measured_is_an_error(times):
    with pytest.raises(ValueError, match="no finite measurements"):
        spread(times)


def test_fit_crops_and_reflects():
    small = picture(0, (10, 14))
    grown = crop_or_reflect(small, (25, 7))
    assert grown.shape == (25, 7, 3)
    assert np.array_equal(grown[:10], small[:, :7])
    assert np.array_equal(grown[10], small[9, :7])  # the edge, mirrored
    assert np.array_equal(grown[20], small[0, :7])  # and back again


def test_network_input_is_in_range():
    image = to_network(np.array([[[0, 127, 255]]], np.uint8))
    assert image.shape == (1, 3, 1, 1)
    assert image.dtype == np.float32
    assert image.ravel().tolist() == pytest.approx([-1.0, 127 / 127.5 - 1, 1.0])


def test_paper_pictures_pad_to_the_size():
    height, width = picture_size((736, 1312), "paper")
    assert ((height // 32 + 1) * 32, (width // 32 + 1) * 32) == (736, 1312)


def test_peak_memory_is_of_this_process():
    # In a fresh process: an earlier test may have held more than is taken here.
    code = """
import numpy as np
from edgedeblur.benchmarks.timing.latency import peak_memory
peak, method = peak_memory()
held = np.ones(64 << 20, np.uint8)
grown, _ = peak_memory()
assert "process" in method, method
assert grown - peak > 32 << 20, (peak, grown)
assert held.any()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_intercept_infer_sees_the_calls_of_deblur_and_restores_the_runner(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    seen = []

    def hook(infer, image):
        seen.append(image.shape)
        return infer(image)

    with open_runner(path, threads=1) as runner:
        plain = runner.deblur(picture(1))
        with intercept_infer(runner, hook):
            watched = runner.deblur(picture(1))
        runner.deblur(picture(1))
    assert np.array_equal(plain, watched)
    assert seen == [(1, 3, *SIZE)]


@pytest.mark.parametrize("protocol", ["edge", "paper"])
def test_latency_of_a_true_artifact(tmp_path, protocol):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    runner, load_cost = timed_open("onnxruntime", lambda: open_runner(path, threads=1))
    with runner:
        found = measure_latency(
            runner, picture(0, (40, 50)), "p", conditions(protocol=protocol, runs=4), load_cost
        )
    assert (found.size, found.tiles, found.runs, found.content) == (SIZE, 1, 4, "p")
    assert 0 < found.infer.p5_ms <= found.infer.median_ms <= found.infer.p95_ms
    assert found.end_to_end.median_ms > found.infer.p5_ms
    assert found.load_ms > 0
    assert found.peak_memory_bytes >= found.start_memory_bytes > 1 << 20


def test_throughput_counts_pictures_over_time(tmp_path, monkeypatch):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    runner, load_cost = timed_open("onnxruntime", lambda: open_runner(path, threads=1))
    seen = []

    def slowly(images):
        for image in images:
            time.sleep(0.02)
            seen.append(image)
            yield image

    with runner:
        monkeypatch.setattr(runner, "infer_many", slowly)
        wanted = conditions(runs=5, hint="throughput")
        found = measure_latency(runner, picture(0, (40, 50)), "p", wanted, load_cost)
        assert len(seen) == 5 + max(wanted.warmup, 1)
        assert 5 < found.pictures_per_s <= 50
        other = measure_latency(runner, picture(0, (40, 50)), "p", conditions(runs=2), load_cost)
    assert other.pictures_per_s is None


def test_no_runs_is_refused(tmp_path):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    runner, load_cost = timed_open("onnxruntime", lambda: open_runner(path, threads=1))
    with runner, pytest.raises(ValueError, match="0 runs measure nothing"):
        measure_latency(runner, picture(0), "p", conditions(runs=0), load_cost)
