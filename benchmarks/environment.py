"""The machine that a number was measured on."""

from __future__ import annotations

import os
import platform

from ..runtimes.machine import first_output_line, machine, usable_cores
from ..runtimes.optional import version_of
from .result import Environment

# Packages that run artifacts; results record the versions of those that are installed.
RUNTIMES = (
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "ai-edge-litert",
    "ncnn",
    "executorch",
)
_PACKAGES = ("edgedeblur", "numpy", *RUNTIMES, "onnx", "coremltools", "opencv-python-headless")


def describe_machine() -> Environment:
    """CPU, memory, system, GPU and versions; None where the system does not report them."""
    versions = {name: version_of(name) for name in _PACKAGES}
    return Environment(
        cpu=machine(),
        cores=os.cpu_count() or 1,
        threads_usable=usable_cores(),
        memory_bytes=_memory(),
        os=_system(),
        python=platform.python_version(),
        gpu=_gpu(),
        packages={name: version for name, version in versions.items() if version},
    )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _system() -> str:
    if platform.system() == "Linux":
        try:
            name = platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            name = "Linux"
        return f"{name}, {platform.machine()}"
    return f"{platform.system()} {platform.release()}, {platform.machine()}"


def _gpu() -> str | None:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return first_output_line(query)
