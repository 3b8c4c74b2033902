"""Runs artifacts and their PyTorch reference over a clip, frame by frame, and scores each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from ...runtimes.artifact import Manifest
from ...runtimes.base import Runner
from ...runtimes.command_line.console import USER_ERRORS, one_line
from ...runtimes.pictures.tiling import TilingOptions
from ...runtimes.registry import check_artifact, open_runner, runtime_for
from ...runtimes.run_torch import open_reference
from ..quality.reference import ReferenceKey, find_checkpoint, reference_key
from .flow import Flow, FlowEstimator, Mask, Picture, visible
from .frames import frames_of
from .scores import Scorer, TemporalRow

INPUT = "input"
REFERENCE = "torch-fp32 (reference{number})"


@dataclass(frozen=True)
class TemporalRequest:
    """What is measured.

    Attributes:
        data: A clip, or a folder of frames.
        engines: Artifacts and checkpoints.
        checkpoints: Candidates for references.
        sharp: Sharp frames of the same clip; None without.
        limit: Use only the first so many frames.
        threads: CPU threads.
        device: Where ONNX files and checkpoints run.
        protocol: How frames are padded and rounded.
    """

    data: Path
    engines: tuple[Path, ...]
    checkpoints: tuple[Path, ...] = ()
    sharp: Path | None = None
    limit: int | None = None
    threads: int = 1
    device: str = "cpu"
    protocol: str = "edge"


@dataclass(frozen=True)
class TemporalResult:
    """The scores of a clip; ``visible`` is the share of pixels whose flow was trusted, or None."""

    data: str
    frames: int
    visible: float | None
    rows: tuple[TemporalRow, ...]


@dataclass
class _Output:
    """One row while it is measured; ``reference`` is the row that it is compared with."""

    scorer: Scorer
    deblur: Callable[[Picture], Picture]
    reference: _Output | None = None
    frame: Picture | None = None


def measure_temporal(request: TemporalRequest, progress: Callable[[int], None]) -> TemporalResult:
    """Score the input, the references, and every engine.

    Args:
        request: What is measured.
        progress: Called with the number of frames done.

    Raises:
        FileNotFoundError, ValueError: the frames cannot be read, or there are none; the sharp ones
            are more or fewer, or of another size.
    """
    failed: list[TemporalRow] = []
    shares: list[float] = []
    count = 0
    with contextlib.ExitStack() as stack:
        outputs = [_Output(Scorer(INPUT), _same), *_open_all(request, stack, failed)]
        for count, (frame, sharp, flow, mask) in enumerate(_steps(request), start=1):
            if mask is not None:
                shares.append(float(mask.mean()))
            for output in outputs:
                output.frame = output.deblur(frame)
                against = None if output.reference is None else output.reference.frame
                output.scorer.add(
                    output.frame, flow=flow, mask=mask, sharp=sharp, reference=against
                )
            progress(count)
    if not count:
        raise ValueError(f"{request.data}: holds no frames")
    rows = (*(output.scorer.row() for output in outputs), *failed)
    share = sum(shares) / len(shares) if shares else None
    return TemporalResult(str(request.data), count, share, rows)


def _same(frame: Picture) -> Picture:
    return frame


def _steps(
    request: TemporalRequest,
) -> Iterator[tuple[Picture, Picture | None, Flow | None, Mask | None]]:
    """Each frame, its sharp one, and the flow from the frame before with its mask.

    The flow is the input's, so that all outputs are compared at the same pixels.
    """
    estimate = FlowEstimator()
    frames = islice(frames_of(request.data), request.limit)
    sharps = None if request.sharp is None else islice(frames_of(request.sharp), request.limit)
    before: Picture | None = None
    for frame, sharp in _paired(frames, sharps, request):
        flow = mask = None
        if before is not None:
            flow = estimate(before, frame)
            mask = visible(flow, estimate(frame, before))
        yield frame, sharp, flow, mask
        before = frame


def _paired(
    frames: Iterator[Picture], sharps: Iterator[Picture] | None, request: TemporalRequest
) -> Iterator[tuple[Picture, Picture | None]]:
    if sharps is None:
        yield from ((frame, None) for frame in frames)
        return
    for frame, sharp in zip_longest(frames, sharps):
        if frame is None or sharp is None:
            raise ValueError(f"{request.data} and {request.sharp} have different numbers of frames")
        if frame.shape != sharp.shape:
            raise ValueError(f"{request.data} and {request.sharp} have frames of different sizes")
        yield frame, sharp


def _open_all(
    request: TemporalRequest, stack: contextlib.ExitStack, failed: list[TemporalRow]
) -> list[_Output]:
    """The engines in order, each reference before the first that needs it."""
    outputs: list[_Output] = []
    references: dict[ReferenceKey, _Output] = {}
    for path in request.engines:
        try:
            manifest = check_artifact(path)
            runner = open_runner(path, threads=request.threads, device=request.device)
            output = _Output(Scorer(path.name), _deblur(request, stack.enter_context(runner)))
            if runtime_for(path).name != "torch":
                key = reference_key(manifest)
                if key not in references:
                    references[key] = _open_reference(request, stack, path, manifest, references)
                    outputs.append(references[key])
                output.reference = references[key]
        except USER_ERRORS as error:
            failed.append(TemporalRow(path.name, error=one_line(error)))
            continue
        outputs.append(output)
    return outputs


def _open_reference(
    request: TemporalRequest,
    stack: contextlib.ExitStack,
    path: Path,
    manifest: Manifest,
    others: dict[ReferenceKey, _Output],
) -> _Output:
    checkpoint = find_checkpoint(manifest, request.checkpoints, artifact=path)
    key = reference_key(manifest)
    runner = open_reference(
        checkpoint, norm=key.norm, size=key.size, threads=request.threads, device=request.device
    )
    number = f" {len(others) + 1}" if others else ""
    label = REFERENCE.format(number=number)
    return _Output(Scorer(label), _deblur(request, stack.enter_context(runner)))


def _deblur(request: TemporalRequest, runner: Runner) -> Callable[[Picture], Picture]:
    options = TilingOptions(request.protocol)
    return lambda frame: runner.deblur(frame, options)
