"""Opens CUDA through whichever Python bindings are installed: cuda-python, or pycuda."""

from __future__ import annotations

from ..optional import MissingDependencyError, available
from .cuda_calls import Cuda


def open_cuda() -> Cuda:
    """cuda-python, or pycuda where only that is installed.

    Raises:
        MissingDependencyError: neither is installed; the message says what to install.
        NoGpuError: no driver, or no GPU.
    """
    if available("cuda.bindings"):
        from .cuda_nvidia import CudaPython

        return CudaPython()
    if available("pycuda"):
        from .cuda_pycuda import PyCuda

        return PyCuda()
    raise MissingDependencyError(
        "running an engine needs cuda-python: pip install cuda-python (or pip install pycuda, "
        "which needs a CUDA toolkit)"
    )
