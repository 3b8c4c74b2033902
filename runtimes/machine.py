"""The processor's name and family, and the cores that may be used."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Neighbours compute most alike: an AMX processor has all of AVX-512, and so on.
CPU_FAMILIES = ("amx", "avx512", "avx2", "arm")
UNKNOWN_FAMILY = "unknown"
_SHARED = "EDGEDEBLUR_SHARED_CORES"


def share_cores() -> None:
    """Say that processes like this one share the machine; to be called before one opens a runner.

    Runtimes then leave it to the system which core a thread runs on.
    """
    os.environ[_SHARED] = "1"


def cores_are_shared() -> bool:
    """Whether `share_cores` was called, here or in the process that started this one."""
    return os.environ.get(_SHARED) == "1"


def machine() -> str:
    """The processor's name."""
    for line in _cpuinfo().splitlines():
        # ARM kernels write no "model name"; platform knows no more there than the machine.
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        name = first_output_line(["sysctl", "-n", "machdep.cpu.brand_string"])
        if name:
            return name
    return platform.processor() or platform.machine()


def cpu_family() -> str:
    """The processor's family, one of `CPU_FAMILIES`, or ``unknown``: see `family_of`."""
    found = family_of(_cpuinfo())
    if found == UNKNOWN_FAMILY and platform.machine().lower() in ("arm64", "aarch64"):
        return "arm"
    return found


def family_of(cpuinfo: str) -> str:
    """The family that the text of ``/proc/cpuinfo`` shows, by the instructions for 8 and 16 bits.

    ``amx``: tiles for int8 and bf16. ``avx512``: AVX-512 with VNNI or BF16. ``avx2``: also AVX-512
    without either, whose int8 arithmetic is that of AVX2. ``arm``: Advanced SIMD. Else ``unknown``.
    """
    flags: set[str] = set()
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
            break
    if flags & {"amx_int8", "amx_bf16"}:
        return "amx"
    if "avx512f" in flags and flags & {"avx512_vnni", "avx512_bf16"}:
        return "avx512"
    if "avx2" in flags:
        return "avx2"
    return "arm" if flags & {"asimd", "neon"} else UNKNOWN_FAMILY


def nearest_families(family: str) -> tuple[str, ...]:
    """All families, the nearest first; among equally near ones, that with more instructions."""
    known = family if family in CPU_FAMILIES else "avx2"
    place = CPU_FAMILIES.index(known)
    near = sorted(CPU_FAMILIES, key=lambda name: abs(CPU_FAMILIES.index(name) - place))
    return tuple(dict.fromkeys((family, *near, UNKNOWN_FAMILY)))


def _cpuinfo() -> str:
    """Empty where the system has no such file."""
    return _CPUINFO.read_text("utf-8", errors="replace") if _CPUINFO.exists() else ""


def first_output_line(command: list[str]) -> str | None:
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


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
