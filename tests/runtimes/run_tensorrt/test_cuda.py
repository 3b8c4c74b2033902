from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.runtimes.optional import MissingDependencyError, available
from edgedeblur.runtimes.run_tensorrt import cuda_nvidia
from edgedeblur.runtimes.run_tensorrt.cuda_bindings import open_cuda
from edgedeblur.runtimes.run_tensorrt.cuda_calls import NoGpuError
from edgedeblur.runtimes.run_tensorrt.runner import cannot_run


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


def test_cuda_errors_name_the_call(bindings):
    fake, cuda = bindings()
    assert cuda.allocate(99) == 4096
    with pytest.raises(
        MemoryError, match=r"error 2 \(100 bytes on the GPU\); close other programs"
    ):
        cuda.allocate(100)
    with pytest.raises(ValueError, match=r"error 700 \(running the engine\)"):
        cuda.wait(1)
    array = cuda.pinned((2, 3), np.dtype(np.float32))
    array[:] = 1.0  # it is the pinned memory itself
    assert bytes(fake.host)[:4] == np.float32(1).tobytes()
    cuda.unpin(array)
    assert fake.freed == [ctypes.addressof(fake.host)]
