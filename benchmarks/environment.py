"""The machine that a number was measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from ..runtimes.base import usable_cores
from ..runtimes.optional import version_of
from .result import Environment

_PACKAGES = (
    "edgedeblur",
    "numpy",
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "opencv-python-headless",
)


def describe_machine() -> Environment:
    """CPU, memory, system, GPU and versions, as far as the system tells."""
    versions = {name: version_of(name) for name in _PACKAGES}
    return Environment(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads_usable=usable_cores(),
        memory_bytes=_memory(),
        os=_system(),
        python=platform.python_version(),
        gpu=_gpu(),
        packages={name: version for name, version in versions.items() if version},
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            # ARM kernels write no "model name"; platform knows no more there than the machine.
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        name = _first_line(["sysctl", "-n", "machdep.cpu.brand_string"])
        if name:
            return name
    return platform.processor() or platform.machine()


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
    return _first_line(query)


def _first_line(command: list[str]) -> str | None:
    """First line of a command's output; None if it is not installed or fails."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else None
