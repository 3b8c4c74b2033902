"""Baseline rows, which other rows are divided by: one per kind, checkpoint and size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtimes.command_line.console import USER_ERRORS, one_line
from ..plan import Engine, Entry, Request, job_for
from ..quality.reference import ReferenceKey
from .ratios import REFERENCE, STOCK
from .stock import EXECUTORCH, LITERT, NCNN, OPENVINO, ORT, ROUTES, build_in_subprocess
from .torch_cuda import VARIANTS

CUDA = "cuda"
KINDS = (REFERENCE, STOCK, CUDA)
CUDA_ROW = "torch {variant}{suffix}"
TRAIN_MODE = "torch reference mode (baseline{suffix})"
STOCK_ROWS = {
    ORT: "stock onnx -> onnxruntime",
    LITERT: "stock litert-torch -> litert",
    NCNN: "stock pnnx -> ncnn",
    EXECUTORCH: "stock executorch -> xnnpack",
    OPENVINO[0]: "stock onnx -> openvino f32",
    OPENVINO[1]: "stock onnx -> openvino bf16",
}


@dataclass(frozen=True)
class _Point:
    """A checkpoint at a size.

    ``suffix`` makes its row names unique; ``first``: no other point has the same weights.
    """

    engine: Engine
    size: tuple[int, int]
    suffix: str
    first: bool


def baseline_entries(
    request: Request, engines: Sequence[Engine], compared: Sequence[Entry], folder: Path
) -> list[Entry]:
    """Rows for ``request.baselines``.

    Args:
        request: What was asked for.
        engines: What is measured; one baseline for each of their checkpoints and sizes.
        compared: The engines' entries; a stock row shares an engine's reference if the weights are
            the same.
        folder: Where the stock files are written; keep it until all rows are measured.

    Raises:
        ValueError: an unknown kind of baseline.
    """
    unknown = sorted(set(request.baselines) - set(KINDS))
    if unknown:
        raise ValueError(f"no baseline {unknown[0]!r}; use {' or '.join(KINDS)}")
    points = _points(request, engines)
    entries: list[Entry] = []
    if REFERENCE in request.baselines:
        entries += [_train_mode(request, point) for point in points]
    if CUDA in request.baselines:
        for point in points:
            entries += _cuda(request, point, compared)
    stock: list[Entry] = []
    if STOCK in request.baselines:
        for number, point in enumerate(points):
            for suffix in _stock_suffixes(engines, point):
                stock += _stock(request, point, compared, folder / f"stock{number}{suffix}")
    return [*entries, *sorted(stock, key=lambda entry: entry.label)]  # by route, then size


def _points(request: Request, engines: Sequence[Engine]) -> list[_Point]:
    conditions = request.conditions
    found: dict[tuple[str, tuple[int, int]], Engine] = {}
    for engine in engines:
        if engine.error is None:
            sizes = conditions.sizes or (engine.size or conditions.size,)
            for size in sizes:
                found.setdefault((engine.checkpoint_sha256, size), engine)
    weights = list(dict.fromkeys(sha256 for sha256, _ in found))
    several = len({size for _, size in found}) > 1
    points: list[_Point] = []
    for (sha256, size), engine in found.items():
        suffix = f" {weights.index(sha256) + 1}" if len(weights) > 1 else ""
        # In a sweep the sizes have their column, and one name makes one line of the plot.
        if several and not conditions.sizes:
            suffix += f" {size[0]}x{size[1]}"
        first = sha256 not in {point.engine.checkpoint_sha256 for point in points}
        points.append(_Point(engine, size, suffix, first))
    return points


def _stock_suffixes(engines: Sequence[Engine], point: _Point) -> list[str]:
    """Suffixes of the stock files to build: ONNX, and those of `ROUTES` that are measured."""
    same = [e for e in engines if e.error is None]
    same = [e for e in same if e.checkpoint_sha256 == point.engine.checkpoint_sha256]
    measured = {e.path.suffix for e in same}
    return [".onnx", *(suffix for suffix in ROUTES if suffix in measured)]


def _train_mode(request: Request, point: _Point) -> Entry:
    label = TRAIN_MODE.format(suffix=point.suffix)
    try:
        job = job_for(request, point.engine.find_checkpoint(request), label, size=point.size)
    except USER_ERRORS as error:
        return Entry(label, error=one_line(error))
    # Its pictures are never cut, so they are the same whatever size the time is taken at.
    quality = job.quality and point.first
    return Entry(
        label,
        dataclasses.replace(
            job, baseline_runtime="train-mode", baseline=REFERENCE, quality=quality
        ),
    )


def _stock(request: Request, point: _Point, compared: Sequence[Entry], target: Path) -> list[Entry]:
    try:
        checkpoint = point.engine.find_checkpoint(request)
        routes = build_in_subprocess(checkpoint, point.size, target)
    except USER_ERRORS as error:
        route = ROUTES.get(target.suffix, ORT)
        return [Entry(STOCK_ROWS[route] + point.suffix, error=one_line(error))]
    key, label_of = _shared_reference(point, compared)
    entries: list[Entry] = []
    for route in routes:
        if route != ORT and request.conditions.device != "cpu":
            continue  # OpenVINO's rows are its CPU plugin's
        label = STOCK_ROWS[route] + point.suffix
        job = dataclasses.replace(
            job_for(request, target, label, size=point.size),
            baseline_runtime=route if route in OPENVINO else None,
            baseline=STOCK,
            reference_label=label_of,
        )
        entries.append(Entry(label, job, key=key))
    return entries


def _cuda(request: Request, point: _Point, compared: Sequence[Entry]) -> list[Entry]:
    """PyTorch on the GPU in each of its variants."""
    key, label_of = _shared_reference(point, compared)
    entries: list[Entry] = []
    for variant in VARIANTS:
        label = CUDA_ROW.format(variant=variant, suffix=point.suffix)
        try:
            path = point.engine.find_checkpoint(request)
        except USER_ERRORS as error:
            entries.append(Entry(label, error=one_line(error)))
            continue
        job = dataclasses.replace(
            job_for(request, path, label, size=point.size),
            baseline_runtime=f"cuda-{variant}",
            reference_label=label_of,
        )
        entries.append(Entry(label, job, key=key))
    return entries


def _shared_reference(point: _Point, compared: Sequence[Entry]) -> tuple[ReferenceKey | None, str]:
    """Key and label of the frozen-norm reference among the rows; (None, "") if there is none."""
    key = ReferenceKey(point.engine.checkpoint_sha256, "frozen", point.size)
    names = [entry.job.reference_label for entry in compared if entry.key == key and entry.job]
    return (key, names[0]) if names else (None, "")
