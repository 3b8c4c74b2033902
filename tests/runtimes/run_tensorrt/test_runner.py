from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.runtimes.artifact import (
    CheckpointInfo,
    Manifest,
    TensorSpec,
    read_manifest,
    write_manifest,
)
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.io_format import from_border, to_border
from edgedeblur.runtimes.optional import MissingDependencyError, available
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_tensorrt import cuda_nvidia
from edgedeblur.runtimes.run_tensorrt.cuda_bindings import open_cuda
from edgedeblur.runtimes.run_tensorrt.cuda_calls import NoGpuError
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run
from edgedeblur.runtimes.run_tensorrt.sdk import (
    PlanHeader,
    read_header,
    system_name,
    version_numbers,
)

from tests.runtimes.run_tensorrt.fake_gpu import STEP_MS, FakeCuda, install, plan_bytes

SIZE = (64, 96)


def saved(folder, data, *, size=SIZE, engine=None, dtype="float32"):
    """A plan with a manifest that fits it."""
    path = folder / "net.plan"
    path.write_bytes(data)
    shape = (1, 3, *size)
    manifest = Manifest(
        target="trt-fp16",
        backbone="mobilenet_dsc",
        checkpoint=CheckpointInfo("0" * 64, "zoo:mobilenet_dsc"),
        norm="frozen",
        input=TensorSpec("image", shape, dtype),
        output=TensorSpec("deblurred", shape, dtype),
        size_multiple=32,
        receptive_radius_px=283,
        params=1,
        macs=1,
        macs_size=SIZE,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        tools={},
        engine={"system": system_name()} if engine is None else engine,
    )
    write_manifest(manifest, path.with_name("net.plan.json"))
    return path


@pytest.fixture
def plan(tmp_path):
    return saved(tmp_path, plan_bytes())


@pytest.fixture
def free_plan(tmp_path):
    return saved(tmp_path, plan_bytes(), size=("height", "width"))


def pictures(count, size=SIZE):
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (1, 3, *size)).astype(np.float32) for _ in range(count)]


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

    def test_many_are_answered_in_order_by_two_lanes(self, plan, monkeypatch):
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
        path = saved(tmp_path, plan_bytes(rest=b"broken"))
        message = r"1\.7\.1\.116 cannot load it: stream ends early; export it again"
        with pytest.raises(ValueError, match=message):
            open_runner(path)
        assert cuda.closed

    def test_other_tensor_names_than_the_manifest(self, plan, monkeypatch):
        install(monkeypatch, FakeCuda(), names=("x", "y"))
        with pytest.raises(ValueError, match=r"takes and gives \['x', 'y'\], its manifest says"):
            open_runner(plan)


class TestPlansFromElsewhere:
    def test_header(self, plan, tmp_path):
        assert read_header(plan) == PlanHeader("rtx", (1, 7, 1, 116))
        other = tmp_path / "other.plan"
        other.write_bytes(plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34)))
        assert str(read_header(other)) == "TensorRT 10.9.0.34"

    @pytest.mark.parametrize("data", [b"", b"vtrt", b"\x08\x07onnx" + bytes(100)])
    def test_no_plan(self, tmp_path, data):
        with pytest.raises(ValueError, match="not a TensorRT plan; export it again"):
            open_runner(saved(tmp_path, data))

    def test_another_version(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        path = saved(tmp_path, plan_bytes(version=(1, 5, 0, 3)))
        message = r"built by TensorRT for RTX 1\.5\.0\.3, installed is .* 1\.7\.1\.116; export it"
        with pytest.raises(ValueError, match=message):
            open_runner(path)

    def test_another_system(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        elsewhere = {"system": "Linux aarch64"}
        theirs = plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34))
        path = saved(tmp_path, theirs, engine=elsewhere)
        if system_name() == "Linux aarch64":
            pytest.skip("this is the system in question")
        with pytest.raises(ValueError, match="built for Linux aarch64, this is"):
            open_runner(path)

    def test_rtx_plans_travel_between_systems(self, tmp_path, monkeypatch):
        install(monkeypatch, FakeCuda())
        with open_runner(
            saved(tmp_path, plan_bytes(), engine={"system": "Windows AMD64"})
        ) as runner:
            image = pictures(1)[0]
            assert np.array_equal(runner.infer(image), image / 2)

    @pytest.mark.skipif(available("tensorrt"), reason="TensorRT is installed here")
    def test_sdk_not_installed(self, tmp_path):
        path = saved(tmp_path, plan_bytes(magic=b"ftrt", version=(10, 9, 0, 34)))
        with pytest.raises(MissingDependencyError, match=r"pip install tensorrt .*JetPack"):
            open_runner(path)

    @pytest.mark.skipif(cannot_run("rtx") is None, reason="there is a GPU here")
    @pytest.mark.skipif(not available("tensorrt_rtx"), reason="tensorrt_rtx is not installed")
    def test_no_gpu(self, tmp_path):
        import tensorrt_rtx

        path = saved(tmp_path, plan_bytes(version=version_numbers(tensorrt_rtx)))
        with pytest.raises(MissingDependencyError, match=r"NVIDIA GPU|cuda-python"):
            open_runner(path)


@pytest.mark.skipif(not available("cuda.bindings"), reason="cuda-python is not installed")
@pytest.mark.skipif(cannot_run() is None, reason="there is a GPU here")
def test_real_cuda_without_a_driver_says_so():
    with pytest.raises(NoGpuError, match="check that nvidia-smi lists one") as caught:
        open_cuda()
    assert caught.value.reason in str(caught.value)
    assert cannot_run() == caught.value.reason


def test_without_either_cuda_package(monkeypatch):
    monkeypatch.setattr(
        "edgedeblur.runtimes.run_tensorrt.cuda_bindings.available", lambda _name: False
    )
    with pytest.raises(MissingDependencyError, match="pip install cuda-python"):
        open_cuda()


class TestBorder:
    def test_uint8_pictures_come_through_unchanged(self):
        levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
        spec = TensorSpec("image", (1, 16, 16, 3), "uint8", "NHWC", "RGB", (0, 255))
        image = from_border(levels, spec)
        assert (image.shape, image.dtype) == ((1, 3, 16, 16), np.float32)
        assert image[0, :, 0, 0].tolist() == [-1, -1, -1]
        assert image[0, 0, 15, 15] == 1
        assert np.array_equal(to_border(image, spec), levels)

    def test_float16_rounds_to_half(self):
        spec = TensorSpec("image", (1, 3, 1, 1), "float16")
        image = np.full((1, 3, 1, 1), 0.1, np.float32)
        half = to_border(image, spec)
        assert half.dtype == np.float16
        assert from_border(half, spec).ravel().tolist() == [0.0999755859375] * 3

    def test_layouts_are_those_of_the_spec(self):
        spec = TensorSpec("image", (1, 2, 2, 3), "float32", "NHWC")
        image = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
        assert to_border(image, spec)[0, 0, 1].tolist() == [1, 5, 9]
        assert np.array_equal(from_border(to_border(image, spec), spec), image)


def test_what_the_engine_is_for_survives_the_file(plan):
    assert read_manifest(plan).engine == {"system": system_name()}


class _FakeRuntime:
    """cuda.bindings.runtime as far as opening and allocating go: (error, value) tuples."""

    cudaError_t = SimpleNamespace(cudaErrorMemoryAllocation=2, cudaErrorInsufficientDriver=35)  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self, *, count=(0, 1), driver=13020):
        self.count, self.driver, self.freed = count, driver, []
        self.host = (ctypes.c_uint8 * 64)()

    def cudaGetDeviceCount(self):  # noqa: N802 - NVIDIA's names
        return self.count

    def cudaDriverGetVersion(self):  # noqa: N802
        return 0, self.driver

    def cudaRuntimeGetVersion(self):  # noqa: N802
        return 0, 13000

    def cudaGetErrorString(self, error):  # noqa: N802
        return 0, f"error {error}".encode()

    def cudaMalloc(self, nbytes):  # noqa: N802
        return (0, 4096) if nbytes < 100 else (2, None)

    def cudaMallocHost(self, nbytes):  # noqa: N802
        assert nbytes <= 64
        return 0, ctypes.addressof(self.host)

    def cudaFreeHost(self, address):  # noqa: N802
        self.freed.append(address)
        return (0,)

    def cudaStreamSynchronize(self, _stream):  # noqa: N802
        return (700,)


@pytest.fixture
def bindings(monkeypatch):
    """`CudaPython` over a fake of NVIDIA's module, which is handed out to be set up."""

    def opened(**given):
        fake = _FakeRuntime(**given)
        monkeypatch.setattr(cuda_nvidia, "require", lambda *_args, **_kw: fake)
        return fake, cuda_nvidia.CudaPython()

    return opened


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"count": (35, None), "driver": 0}, "no CUDA driver"),
        (
            {"count": (35, None), "driver": 12060},
            r"only a driver for CUDA 12\.6, older than cuda-python's CUDA 13\.0 \(pip install "
            r"'cuda-python<13'\)",
        ),
        ({"count": (100, None)}, r"none that CUDA can use \(error 100\)"),
        ({"count": (0, 0)}, "there is none;"),
    ],
)
def test_why_there_is_no_gpu(bindings, given, reason):
    with pytest.raises(NoGpuError, match=reason):
        bindings(**given)


def test_cuda_errors_are_put_into_words(bindings):
    fake, cuda = bindings()
    assert cuda.allocate(99) == 4096
    with pytest.raises(MemoryError, match=r"error 2 \(100 bytes on the GPU\); close what else"):
        cuda.allocate(100)
    with pytest.raises(ValueError, match=r"error 700 \(running the engine\)"):
        cuda.wait(1)
    array = cuda.pinned((2, 3), np.dtype(np.float32))
    array[:] = 1.0  # it is the pinned memory itself
    assert bytes(fake.host)[:4] == np.float32(1).tobytes()
    cuda.unpin(array)
    assert fake.freed == [ctypes.addressof(fake.host)]
