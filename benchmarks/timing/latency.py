"""Measures how long an artifact takes and how much memory its process needs."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtimes.base import Runner
from ...runtimes.pictures.tiling import TilingOptions
from ..result import Conditions, Latency, Samples, Spread
from .hook import Infer, intercept_infer

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class LoadCost:
    """Cost of opening an artifact: milliseconds, and the process's memory in bytes before it."""

    import_ms: float
    load_ms: float
    start_memory_bytes: int | None


def timed_open(module: str, open_runner: Callable[[], Runner]) -> tuple[Runner, LoadCost]:
    """Open an artifact, timing the import of its runtime's ``module`` separately."""
    memory, _ = peak_memory()
    start = time.perf_counter_ns()
    # Imported here so that load_ms is the file's share; opening reports a missing runtime, and
    # its message says how to install it.
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
    imported = time.perf_counter_ns()
    runner = open_runner()
    opened = time.perf_counter_ns()
    return runner, LoadCost(
        (imported - start) / _NS_PER_MS, (opened - imported) / _NS_PER_MS, memory
    )


def measure_latency(
    runner: Runner, picture: np.ndarray, content: str, conditions: Conditions, load_cost: LoadCost
) -> Latency:
    """Time `infer` and `deblur` on a picture; ValueError for no runs, or NaN from the artifact.

    Args:
        runner: Just opened, so that the first run is the first.
        picture: uint8 (H, W, 3), RGB; cropped or extended by reflection.
        content: Its name, for the result.
        conditions: Size (for artifacts of free size), protocol, runs and warm-up.
        load_cost: From `timed_open`.
    """
    if conditions.runs < 1 or conditions.warmup < 0:
        raise ValueError(f"{conditions.runs} runs measure nothing; use --runs 1 or more")
    size = runner.size or conditions.size
    image = to_network(crop_or_reflect(picture, size))
    first_ms, infer, gpu = _infer_times(runner, image, conditions)
    whole = crop_or_reflect(picture, picture_size(size, conditions.protocol))
    deblur_runs = _end_to_end(runner, whole, conditions)
    samples = dataclasses.replace(_samples(infer, deblur_runs), gpu=gpu)
    peak, method = peak_memory()
    return Latency(
        size=size,
        content=content,
        runs=conditions.runs,
        warmup=conditions.warmup,
        import_ms=load_cost.import_ms,
        load_ms=load_cost.load_ms,
        first_ms=first_ms,
        infer=spread(samples.infer),
        end_to_end=spread(samples.end_to_end),
        pre=spread(samples.pre),
        post=spread(samples.post),
        picture_size=(whole.shape[0], whole.shape[1]),
        tiles=deblur_runs[0].tiles,
        peak_memory_bytes=peak,
        start_memory_bytes=load_cost.start_memory_bytes,
        memory_method=method,
        round_medians_ms=(spread(samples.infer).median_ms,),
        samples=samples,
        pictures_per_s=_throughput(runner, whole, conditions),
        gpu=spread(gpu) if gpu else None,
        device_memory_bytes=runner.device_memory_bytes,
    )


def _throughput(runner: Runner, picture: np.ndarray, conditions: Conditions) -> float | None:
    """Pictures per second through `infer_many`; None unless throughput was asked for."""
    if conditions.hint != "throughput":
        return None
    image = to_network(crop_or_reflect(picture, runner.size or conditions.size))
    for _ in runner.infer_many([image] * max(conditions.warmup, 1)):
        pass
    start = time.perf_counter()
    count = sum(1 for _ in runner.infer_many([image] * conditions.runs))
    return count / (time.perf_counter() - start)


def spread(times_ms: Sequence[float]) -> Spread:
    """Median, 5th and 95th percentile with linear interpolation between measurements.

    Raises:
        ValueError: no measurements, or one that is not finite.
    """
    values = np.asarray(times_ms, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("no finite measurements to summarise")
    p5, median, p95 = np.percentile(values, [5, 50, 95])
    return Spread(float(median), float(p5), float(p95))


def crop_or_reflect(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop (H, W, 3) at the top left to ``size``, or extend it by reflection."""
    cropped = picture[: size[0], : size[1]]
    missing = (size[0] - cropped.shape[0], size[1] - cropped.shape[1])
    padded = np.pad(cropped, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(padded)


def picture_size(size: tuple[int, int], protocol: str) -> tuple[int, int]:
    """Size of the picture that one run of a network of ``size`` deblurs, by protocol."""
    # `paper` always pads, also sides that fit: (side // 32 + 1) * 32. 720 becomes 736 there.
    return (size[0] - 16, size[1] - 16) if protocol == "paper" else size


def to_network(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) in [0, 255] -> float32 (1, 3, H, W) in [-1, 1]."""
    scaled = picture.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def peak_memory() -> tuple[int | None, str]:
    """Largest resident memory of this process so far, in bytes, and the counter it comes from."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: Linux keeps it over fork and exec, so a worker would show its parent's.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024, "VmHWM of the worker process"
    try:
        import resource
    except ImportError:
        return None, "not measured on this system"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    in_bytes = platform.system() == "Darwin"  # elsewhere KiB
    return peak if in_bytes else peak * 1024, "ru_maxrss of the worker process"


@dataclass(frozen=True)
class _Run:
    total_ms: float
    pre_ms: float
    infer_ms: float
    tiles: int


def _infer_times(
    runner: Runner, image: np.ndarray, conditions: Conditions
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """The first run; after the warm-up, the measured ones, and the GPU's share of them, in ms."""
    times: list[float] = []
    shares: list[float | None] = []
    for _ in range(1 + conditions.warmup + conditions.runs):
        times.append(_elapsed_ms(lambda: runner.infer(image)))
        shares.append(runner.gpu_ms)
    measured = slice(1 + conditions.warmup, None)
    gpu = [share for share in shares[measured] if share is not None]
    return times[0], tuple(times[measured]), tuple(gpu)


def _end_to_end(runner: Runner, picture: np.ndarray, conditions: Conditions) -> list[_Run]:
    options = TilingOptions(protocol=conditions.protocol)
    calls: list[tuple[int, int]] = []

    def time_call(infer: Infer, image: np.ndarray) -> np.ndarray:
        start = time.perf_counter_ns()
        result = infer(image)
        calls.append((start, time.perf_counter_ns()))
        return result

    runs: list[_Run] = []
    with intercept_infer(runner, time_call):
        for _ in range(conditions.runs):
            calls.clear()
            start = time.perf_counter_ns()
            runner.deblur(picture, options)
            total = time.perf_counter_ns() - start
            inside = sum(stop - begin for begin, stop in calls)
            pre = calls[0][0] - start
            runs.append(_Run(total / _NS_PER_MS, pre / _NS_PER_MS, inside / _NS_PER_MS, len(calls)))
    return runs


def _samples(infer: tuple[float, ...], deblur_runs: Sequence[_Run]) -> Samples:
    return Samples(
        infer=infer,
        end_to_end=tuple(run.total_ms for run in deblur_runs),
        pre=tuple(run.pre_ms for run in deblur_runs),
        post=tuple(run.total_ms - run.pre_ms - run.infer_ms for run in deblur_runs),
    )


def _elapsed_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / _NS_PER_MS
