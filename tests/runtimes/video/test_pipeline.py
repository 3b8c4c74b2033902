"""The pipeline alone: order, bounds, errors of each stage, and requests in flight."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.pictures.tiling import TilingOptions
from edgedeblur.runtimes.video.clip import Frame
from edgedeblur.runtimes.video.inference import inference_alone_fps
from edgedeblur.runtimes.video.pipeline import Pipeline

from tests.runtimes.cli_run.support import manifest
from tests.runtimes.video.support import Identity


def runner(kind=Identity, **options):
    return kind(Path("model.onnx"), manifest(), threads=1, device="cpu", **options)


def frames(count, height=32, width=32):
    for number in range(count):
        yield Frame(np.full((height, width, 3), number % 251, np.uint8), number, 1)


def run(opened, source, write=None, options=None):
    """The outcome, and the (time stamp, first value) of each frame written."""
    written = []

    def keep(frame, sharp):
        if write:
            write(frame, sharp)
        written.append((frame.pts, int(sharp[0, 0, 0])))

    pipeline = Pipeline(opened, options or TilingOptions(), keep, lambda _done: None)
    return pipeline.run(source), written


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_frames_come_in_order_and_whole(count):
    outcome, written = run(runner(), frames(count))
    assert written == [(number, number % 251) for number in range(count)]
    assert (outcome.error, outcome.stopped, outcome.rates.frames) == (None, False, count)


def test_tiles_of_several_frames_do_not_mix():
    """Two tiles a frame, and a runner that reuses its output."""

    class Reuses(Runner):
        reuses_output = True

        def _open(self):
            self._output = np.empty(0, np.float32)

        def _infer(self, image):
            if self._output.shape != image.shape:
                self._output = np.empty_like(image)
            self._output[:] = -image
            return self._output

    source = frames(30, 64, 128)
    checked = []

    def write(frame, sharp):
        np.testing.assert_array_equal(sharp, 255 - frame.pixels)
        checked.append(frame.pts)

    outcome, _ = run(runner(Reuses), source, write, TilingOptions(tile=(64, 96), overlap_px=32))
    assert outcome.error is None, outcome.error
    assert checked == list(range(30))


def test_no_more_than_a_few_frames_are_read_ahead():
    read, most = [], []

    def source():
        for frame in frames(60):
            read.append(frame.pts)
            yield frame

    def slow(frame, _sharp):
        time.sleep(0.005)
        most.append(len(read) - frame.pts)

    outcome, _ = run(runner(), source(), slow)
    assert outcome.error is None
    assert max(most) <= 6  # three in the queue; one read, one put, one written


@pytest.mark.parametrize("stage", ["decode", "infer", "encode"])
def test_an_error_of_any_stage_ends_the_run_and_is_returned(stage):
    def source():
        for frame in frames(40):
            if stage == "decode" and frame.pts == 20:
                raise ValueError("decode")
            yield frame

    class Fails(Identity):
        def _infer(self, image):
            if stage == "infer" and image[0, 0, 0, 0] > 20 / 127.5 - 1 - 1e-3:
                raise ValueError("infer")
            return image.copy()

    def write(frame, _sharp):
        if stage == "encode" and frame.pts == 20:
            raise ValueError("encode")

    before = threading.active_count()
    outcome, written = run(runner(Fails), source(), write)
    assert str(outcome.error) == stage
    assert threading.active_count() == before
    # Frames before the failed one may still have been on their way to the network.
    assert written == [(number, number) for number in range(len(written))]
    assert outcome.rates.frames == len(written) <= 20
    assert len(written) >= (17 if stage == "infer" else 20)


def test_a_stop_writes_what_was_read():
    pipeline = None
    written = []

    def keep(frame, _sharp):
        written.append(frame.pts)
        if frame.pts == 10:
            pipeline.stop()

    pipeline = Pipeline(runner(), TilingOptions(), keep, lambda _done: None)
    outcome = pipeline.run(frames(1000))
    assert outcome.stopped
    assert outcome.error is None
    assert written == list(range(len(written)))
    assert 11 <= len(written) < 25


class InFlight(Identity):
    """Holds three requests before it answers, as a runner with the hint ``throughput`` does."""

    most = 0

    @property
    def in_flight(self):
        return 3

    def infer_many(self, images):
        busy = deque()
        for image in images:
            if len(busy) == 3:
                time.sleep(0.005)
                yield busy.popleft() * 1
            busy.append(image)
            InFlight.most = max(InFlight.most, len(busy))
        while busy:
            yield busy.popleft() * 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 40])
def test_requests_in_flight_neither_mix_nor_lock_up(count):
    InFlight.most = 0
    outcome, written = run(runner(InFlight), frames(count))
    assert outcome.error is None
    assert written == [(number, number) for number in range(count)]
    assert InFlight.most == 3 or count < 40  # fewer frames may come one by one


def test_rates_add_up():
    class Slow(Identity):
        def _infer(self, image):
            time.sleep(0.02)
            return image.copy()

    opened = runner(Slow)
    alone = inference_alone_fps(opened, np.zeros((32, 32, 3), np.uint8), TilingOptions())
    assert 25 < alone < 50  # 20 ms each
    outcome, _ = run(opened, frames(20), lambda *_: time.sleep(0.01))
    rates = outcome.rates
    assert 20 * 0.02 <= rates.busy_s["infer"] <= rates.wall_s
    assert rates.busy_s["encode"] >= 20 * 0.01
    assert rates.fps == pytest.approx(20 / rates.wall_s)
    assert rates.fps < rates.stage_fps("infer") < rates.stage_fps("encode")
    # One after the other they would take 30 ms a frame.
    assert rates.fps > 0.75 * alone


def test_small_frames_are_padded_to_what_the_network_needs():
    class Picky(Identity):
        def _infer(self, image):
            assert min(image.shape[2:]) >= 160, image.shape
            return image.copy()

    opened = runner(Picky)
    opened.manifest.smallest_side = 160
    outcome, written = run(opened, frames(2, height=33, width=50))
    assert outcome.error is None
    assert written == [(0, 0), (1, 1)]
