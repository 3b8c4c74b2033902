"""The fields of a benchmark result, in memory and in its JSON file.

Field names carry their unit. Sizes are (height, width) in pixels. PSNR is on uint8 RGB over the
whole picture, data range 255; SSIM is Wang et al. 2004, 11x11 Gaussian, mean over RGB. Means are
arithmetic means of the per-picture values. Infinite dB (identical pictures) is null in JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .quality.scores import Quality
from .serialise import from_json_types, to_json_types

SCHEMA_VERSION = 5
_READABLE = (1, 2, 3, 4, 5)  # each only added fields, all with defaults


@dataclass(frozen=True)
class Footprint:
    """Size and arithmetic of an artifact, counted without running it.

    Attributes:
        bytes: On disk.
        params: Weights that inference touches, without running statistics. Folded norms and
            fused convolutions show as they are in the file.
        size: (height, width) that the operations are counted at.
        macs: Multiply-adds of convolutions and matrix products; None where the format cannot be
            read and the manifest counted at another size.
        flops: ``2 * macs``, or None if they are.
        macs_elementwise: ``macs`` plus element-wise work, as ptflops counts (`counts.counts`).
        macs_paper: ``macs_elementwise`` with the backbone counted twice, as the DeblurGAN-v2
            paper's table does; None for files that do not mark the backbone.
        counted_from: ``graph``, ``module``, or ``manifest`` where the format cannot be read.
        bytes_moved: What the graph's nodes read and write, without caches (`counts.counts`); None
            where it cannot be read.
    """

    bytes: int
    params: int
    size: tuple[int, int]
    macs: int | None
    flops: int | None
    macs_elementwise: int | None
    macs_paper: int | None
    counted_from: str
    bytes_moved: int | None = None


@dataclass(frozen=True)
class Spread:
    """Median and 5th and 95th percentile of repeated measurements, in milliseconds."""

    median_ms: float
    p5_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Samples:
    """Every measured run, in milliseconds, sent by a worker so that rounds can be pooled."""

    infer: tuple[float, ...]
    end_to_end: tuple[float, ...]
    pre: tuple[float, ...]
    post: tuple[float, ...]
    gpu: tuple[float, ...] = ()


@dataclass(frozen=True)
class Latency:
    """How long it takes on this machine; batch 1.

    Attributes:
        size: (height, width) of the network's input.
        content: Name of the picture whose content was used.
        runs, warmup: Measured runs of all rounds together, and unmeasured ones of each round; the
            first run of a process is neither.
        import_ms: Importing the runtime's own package into a fresh process.
        load_ms: From the file (with the check of its hash) to a runner that can infer.
        first_ms: The first `infer`, which often compiles or allocates.
        infer: `infer` alone: float32 array in, float32 array out.
        end_to_end: `deblur`: uint8 picture in, uint8 picture out.
        pre, post: The parts of ``end_to_end`` before the first and after it outside `infer`.
        picture_size: (height, width) of the picture given to `deblur`.
        tiles: How many times `deblur` called `infer` for it.
        peak_memory_bytes: Largest resident memory of the process up to here, None if unknown.
        start_memory_bytes: The same before the artifact was opened.
        memory_method: The counter that the two numbers come from.
        round_medians_ms: Median `infer` of each round: shows how far the machine drifted.
        samples: Set between worker and main process only; None in result files.
        gpu: The GPU's share of `infer`, between two events around the arithmetic, without copies;
            None without a GPU.
        device_memory_bytes: The largest drop of the GPU's free memory since opening, which
            includes other processes' allocations; None without a GPU.
        infer_runs_ms: Every run of `infer`; empty in results of before version 5.
        pictures_per_s: `infer_many` over ``runs`` pictures, with the hint ``throughput`` only.

    Of several rounds ``import_ms``, ``load_ms``, ``first_ms`` are medians, memory the largest.
    """

    size: tuple[int, int]
    content: str
    runs: int
    warmup: int
    import_ms: float
    load_ms: float
    first_ms: float
    infer: Spread
    end_to_end: Spread
    pre: Spread
    post: Spread
    picture_size: tuple[int, int]
    tiles: int
    peak_memory_bytes: int | None
    start_memory_bytes: int | None
    memory_method: str
    round_medians_ms: tuple[float, ...] = ()
    samples: Samples | None = None
    pictures_per_s: float | None = None
    gpu: Spread | None = None
    device_memory_bytes: int | None = None
    infer_runs_ms: tuple[float, ...] = ()


@dataclass(frozen=True)
class PhoneParity:
    """A phone's output against PyTorch's: see `runtimes.compare`; no difference is infinite."""

    psnr_db: float
    max_abs: float
    residual_snr_db: float


@dataclass(frozen=True)
class PhoneSample:
    """A few seconds of a sustained run, and the phone's state at their end; None: unknown.

    ``thermal_status`` is Android's, 0 (none) to 6 (shutdown); ``current_ua`` flows into the
    battery, in microamperes, as the phone counts it.
    """

    at_s: float
    runs: int
    median_ms: float
    thermal_status: int | None
    current_ua: int | None
    battery_percent: int | None
    charging: bool | None


@dataclass(frozen=True)
class PhoneRun:
    """The phone's part of a row: which accelerator ``ran`` and why, parity, sustained run."""

    ran: str
    content: str
    parity: PhoneParity | None
    sustained: tuple[PhoneSample, ...]


@dataclass(frozen=True)
class Row:
    """One artifact. A part that was not requested, or that failed, is None; see ``error``.

    ``baseline``: set if other rows are divided by this one: ``reference`` or ``stock``.
    ``x_baseline``, ``x_stock``: how many times faster than those; see `ratios`.
    ``verified``: for an artifact that cannot run on this machine: why, and the export's results.
    ``emulated``: an emulation of the artifact's runtime was measured, which has no latency.
    """

    engine: str
    is_reference: bool = False
    target: str | None = None
    backbone: str | None = None
    norm: str | None = None
    runs_as: str | None = None  # device, threads and precision, by the runner
    precision: str | None = None
    sha256: str | None = None
    checkpoint_sha256: str | None = None
    footprint: Footprint | None = None
    latency: Latency | None = None
    quality: Quality | None = None
    error: str | None = None
    runtime: str | None = None  # the module that ran it
    baseline: str | None = None
    x_baseline: float | None = None
    x_stock: float | None = None
    verified: str | None = None
    emulated: bool = False
    phone: PhoneRun | None = None  # if the Android app measured it
    network: str | None = None  # None in results of before there were compressed ones

    @property
    def network_name(self) -> str | None:
        """The network's name, which is its backbone's at full width."""
        return self.network or self.backbone


@dataclass(frozen=True)
class DataSet:
    """The data set: name of the folder (never its path), layout, split, and the list's hash."""

    name: str
    layout: str
    split: str
    pairs: int
    list_sha256: str


@dataclass(frozen=True)
class Environment:
    """The machine and the versions. Memory in bytes; ``threads_usable`` by this process."""

    cpu: str
    cores: int
    threads_usable: int
    memory_bytes: int | None
    os: str
    python: str
    gpu: str | None
    packages: dict[str, str]


@dataclass(frozen=True)
class Conditions:
    """The requested conditions. ``threads`` 0 is resolved to the number used.

    ``runs`` is per round. ``sizes``: those of a sweep; ``size`` is then the first.
    ``hint``: what OpenVINO and TensorRT are tuned for.
    """

    size: tuple[int, int]
    protocol: str
    device: str
    threads: int
    runs: int
    warmup: int
    rounds: int = 1
    sizes: tuple[tuple[int, int], ...] = ()
    hint: str = "latency"


@dataclass(frozen=True)
class BenchResult:
    """All rows of one call of ``deblur-bench``, with everything needed to repeat it."""

    conditions: Conditions
    data: DataSet
    environment: Environment
    rows: tuple[Row, ...]
    measured_on: str  # date, UTC
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return to_json_types(self)

    @staticmethod
    def from_dict(body: object, *, origin: str) -> BenchResult:
        """Rebuild from `to_dict`'s output.

        Raises:
            ValueError: not a result, or one of another schema version.
        """
        version = body.get("schema_version") if isinstance(body, dict) else None
        if not isinstance(body, dict) or version not in _READABLE:
            known = ", ".join(str(number) for number in _READABLE)
            raise ValueError(
                f"{origin}: result schema {version!r}, this version reads {known}; "
                "run deblur-bench again"
            )
        return from_json_types(
            BenchResult, {**body, "schema_version": SCHEMA_VERSION}, origin=origin
        )


def read_result(path: Path) -> BenchResult:
    """Read a file that ``deblur-bench --json FILE`` wrote.

    Raises:
        ValueError: not JSON, not a result, or one of another schema version.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); run deblur-bench again") from error
    return BenchResult.from_dict(body, origin=str(path))


def read_row(path: Path) -> Row:
    """Read one row, as a worker process writes it.

    Raises:
        ValueError: not a row.
    """
    return from_json_types(Row, json.loads(path.read_text(encoding="utf-8")), origin=str(path))
