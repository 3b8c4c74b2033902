from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.runtimes.registry import open_runner

from tests.runtimes.run_tensorrt.fake_gpu import (
    STEP_MS,
    FakeCuda,
    install,
    pictures,
    plan_bytes,
    saved_plan,
)


@pytest.fixture
def plan(tmp_path):
    return saved_plan(tmp_path, plan_bytes())


@pytest.fixture
def free_plan(tmp_path):
    return saved_plan(tmp_path, plan_bytes(), size=("height", "width"))


class TestOnAGpuThatWaits:
    def test_answers_are_those_of_the_picture_given(self, plan, monkeypatch):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        with open_runner(plan) as runner:
            assert runner.device == "cuda"
            for image in pictures(4):
                kept = runner.infer(image)
                assert np.array_equal(kept, image / 2)
            first = kept.copy()
            runner.infer(pictures(1)[0])
            assert np.array_equal(kept, first)  # no answer changes under the caller
        assert cuda.closed

    def test_first_run_is_direct_and_later_ones_replay_a_graph(self, plan, monkeypatch):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        with open_runner(plan) as runner:
            for image in pictures(3):
                runner.infer(image)
            assert "CUDA graph, fake" in runner.describe()
        ran = [line.split()[0] for line in cuda.log]
        assert ran.count("execute") == 1
        assert ran.count("launch") == 2
        copies = [name for name in ran if name in ("upload", "execute", "launch", "download")]
        assert copies == ["upload", "execute", "download"] + 2 * ["upload", "launch", "download"]

    def test_without_graphs_every_run_is_direct_and_it_says_so(self, plan, monkeypatch):
        for cuda, reason in (
            (FakeCuda(has_graphs=False), "no CUDA graph: fake has none"),
            (FakeCuda(), "no CUDA graph: CUDA: operation not permitted"),
        ):
            cuda.refuse_capture = True
            install(monkeypatch, cuda)
            with open_runner(plan) as runner:
                for image in pictures(3):
                    assert np.array_equal(runner.infer(image), image / 2)
                assert reason in runner.describe()
            assert sum(line.startswith("execute") for line in cuda.log) == 3

    def test_gpu_time_is_that_between_the_events(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda())
        with open_runner(plan) as runner:
            runner.infer(pictures(1)[0])
            assert runner.gpu_ms == STEP_MS  # the arithmetic alone, neither copy

    def test_many_are_answered_in_order_by_two_streams(self, plan, monkeypatch):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        images = pictures(5)
        with open_runner(plan, hint="throughput") as runner:
            results = list(runner.infer_many(iter(images)))
        assert len(results) == 5
        for image, result in zip(images, results, strict=True):
            assert np.array_equal(result, image / 2)
        waits = [line for line in cuda.log if line.startswith("wait")]
        assert {"wait 1", "wait 2"} <= set(waits)

    def test_the_second_picture_is_on_its_way_before_the_first_is_waited_for(
        self, plan, monkeypatch
    ):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        asked = []

        def source():
            for number, image in enumerate(pictures(3)):
                asked.append(number)
                yield image

        with open_runner(plan) as runner:
            answers = runner.infer_many(source())
            next(answers)
            assert asked == [0, 1, 2]  # two are submitted; the third is in hand
            assert len(cuda.queues[2]) > 0  # and the second still runs
            answers.close()  # stopping early waits for what reads our memory
            assert all(not queue for queue in cuda.queues.values())

    def test_a_caller_may_fill_its_array_anew_after_the_answer(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda())
        with open_runner(plan) as runner:
            image = pictures(1)[0]
            expected = image / 2
            result = runner.infer(image)
            image[:] = 0
            assert np.array_equal(result, expected)

    def test_another_size_gets_its_own_buffers_and_graph(self, free_plan, monkeypatch):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        with open_runner(free_plan) as runner:
            for size in ((64, 96), (64, 96), (32, 64), (32, 64), (64, 96)):
                image = pictures(1, size)[0]
                assert np.array_equal(runner.infer(image), image / 2)
        assert cuda.log.count("release") == cuda.log.count("unpin") == 4
        assert len(cuda.memory) == 2  # one pair of buffers is left, for `Cuda.close`

    def test_a_size_outside_the_profile_is_an_error(self, free_plan, monkeypatch):
        install(monkeypatch, FakeCuda(), sides=(32, 64))
        message = r"not built for 1x3x96x64 \(shape outside the profile\); export it with another"
        with open_runner(free_plan) as runner:
            with pytest.raises(ValueError, match=message):
                runner.infer(pictures(1, (96, 64))[0])

    def test_out_of_memory_names_what_helps(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda(free=1000))
        with open_runner(plan) as runner:
            with pytest.raises(MemoryError, match=r"73728 bytes on the GPU"):
                runner.infer(pictures(1)[0])

    def test_memory_is_what_free_memory_fell_by(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda())
        with open_runner(plan) as runner:
            runner.infer(pictures(1)[0])
            assert runner.device_memory_bytes == 2 * 3 * 64 * 96 * 4

    def test_a_failing_engine_says_what_the_sdk_logged(self, plan, monkeypatch):
        engines = install(monkeypatch, FakeCuda())
        with open_runner(plan) as runner:
            engines[0].fails = True
            with pytest.raises(ValueError, match=r"the engine failed \(tactic 7 failed\)"):
                runner.infer(pictures(1)[0])

    def test_a_plan_that_cannot_be_loaded(self, tmp_path, monkeypatch):
        cuda = FakeCuda()
        install(monkeypatch, cuda)
        path = saved_plan(tmp_path, plan_bytes(rest=b"broken"))
        message = r"1\.7\.1\.116 cannot load it: stream ends early; export it again"
        with pytest.raises(ValueError, match=message):
            open_runner(path)
        assert cuda.closed

    def test_other_tensor_names_than_the_manifest(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda(), names=("x", "y"))
        with pytest.raises(ValueError, match=r"inputs and outputs \['x', 'y'\], its manifest says"):
            open_runner(plan)
