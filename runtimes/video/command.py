"""``deblur-run`` on a clip or an image sequence: from the parsed options to the exit code."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import Runner
from ..command_line.console import (
    DONE,
    FAILED,
    USER_ERRORS,
    one_line,
    print_json,
    progress_bar,
)
from ..files import sha256_of
from ..pictures.tiling import TilingOptions
from ..registry import check_artifact, open_runner
from ..sdk_errors import translate_sdk_error
from .arguments import DEFAULT_FPS, coding_of, part_of
from .clip import Clip, Frame, Part
from .errors import load_av
from .inference import inference_alone_fps
from .output.writer import ClipWriter, Output, SequenceWriter, Writer
from .pipeline import Outcome, Pipeline
from .reader import probe, read_frames
from .report import Result, json_body, print_result
from .sequence import find_numbers, is_pattern, probe_sequence, read_sequence

INTERRUPTED = 130


@dataclass(frozen=True)
class Input:
    """A clip or an image sequence, and the part of it that is wanted."""

    clip: Clip
    part: Part
    is_sequence: bool

    def frames(self, after_pts: int | None = None) -> Iterator[Frame]:
        """The frames after a time stamp; see `reader.read_frames`."""
        read = read_sequence if self.is_sequence else read_frames
        return read(self.clip, self.part, after_pts=after_pts)

    @property
    def count(self) -> int | None:
        """Frames of the part, estimated; None if unknown."""
        if self.clip.frames is None or self.part.is_whole:
            return self.clip.frames
        whole_s = self.clip.frames / float(self.clip.rate)
        end_s = min(whole_s, self.part.end_s or whole_s)
        return max(1, round((end_s - (self.part.start_s or 0.0)) * float(self.clip.rate)))


def run_clip(arguments: argparse.Namespace) -> int:
    """Deblur one clip; returns the exit code.

    Raises:
        OSError, ValueError, MissingDependencyError: before any frame was deblurred.
    """
    load_av()  # says what to install before anything is opened
    check_artifact(arguments.artifact)
    found = _input(arguments)
    writer = _writer(arguments, found)
    options = TilingOptions(arguments.protocol, arguments.tile, arguments.overlap)
    for remark in (*found.clip.remarks, *writer.remarks):
        sys.stderr.write(f"{found.clip.path}: {remark}\n")
    said = len(writer.remarks)
    with open_runner(
        arguments.artifact,
        threads=arguments.threads,
        device=arguments.device,
        hint=arguments.hint or "latency",
    ) as runner:
        ran_on = runner.describe()
        outcome = _deblur(arguments, found, writer, runner, options)
    outcome, written = _finish(writer, outcome)
    for remark in writer.remarks[said:]:
        sys.stderr.write(f"{found.clip.path}: {remark}\n")
    result = Result(found.clip, Path(arguments.output), written, outcome, writer.done, writer.kept)
    failure = None if outcome.error is None else _explained(outcome.error, found.clip.path)
    if arguments.json:
        print_json(json_body(result, arguments.artifact, ran_on, failure))
    elif written is not None:
        print_result(result, profile=arguments.profile)
    return _exit_code(result, failure)


def _input(arguments: argparse.Namespace) -> Input:
    path = Path(arguments.inputs[0])
    part = part_of(arguments)
    if is_pattern(path.name):
        return Input(probe_sequence(path, arguments.fps or DEFAULT_FPS), part, is_sequence=True)
    if arguments.fps is not None:
        raise ValueError(f"{path} has frame times of its own; --fps is for image sequences")
    return Input(probe(path), part, is_sequence=False)


def _writer(arguments: argparse.Namespace, found: Input) -> Writer:
    target = Path(arguments.output)
    if target.resolve() == found.clip.path.resolve():
        raise FileExistsError(f"{target}: the output would replace the input; choose another -o")
    output = Output(
        target=target,
        coding=coding_of(arguments),
        side_by_side=arguments.side_by_side,
        quality=arguments.quality,
        force=arguments.force,
        resume=arguments.resume,
    )
    asked = _asked(arguments, found, output)
    if is_pattern(target.name):
        first = find_numbers(found.clip.path)[0] if found.is_sequence else 1
        return SequenceWriter(found.clip, output, asked, first)
    source = None if found.is_sequence else found.clip.path
    return ClipWriter(found.clip, found.part, output, asked, source)


def _asked(arguments: argparse.Namespace, found: Input, output: Output) -> dict[str, Any]:
    """What must be the same for a run to be resumed."""
    path = found.clip.path
    return {
        "input": str(path.resolve()),
        "input size": None if found.is_sequence else path.stat().st_size,
        "artifact": sha256_of(Path(arguments.artifact)),
        "coding": dataclasses.asdict(output.coding),
        "part": dataclasses.asdict(found.part),
        "frame rate": str(found.clip.rate),
        "side by side": output.side_by_side,
        "quality": output.quality,
        "tiles": [arguments.protocol, arguments.tile, arguments.overlap],
    }


def _deblur(
    arguments: argparse.Namespace,
    found: Input,
    writer: Writer,
    runner: Runner,
    options: TilingOptions,
) -> Outcome:
    total = found.count
    with (
        progress_bar("deblurring", enabled=not arguments.json, rate="fps") as update,
        contextlib.ExitStack() as stack,
    ):
        alone_fps = None
        if arguments.profile:
            first = next(found.frames(), None)
            if first is not None:
                alone_fps = inference_alone_fps(runner, first.pixels, options)

        def progress(done: int) -> None:
            done += writer.done
            update(done, max(total or done, done))

        pipeline = Pipeline(runner, options, writer.write, progress)
        stack.enter_context(_stopping(pipeline.stop))
        outcome = pipeline.run(_remaining(found, writer))
    rates = dataclasses.replace(outcome.rates, alone_fps=alone_fps)
    return dataclasses.replace(outcome, rates=rates)


def _remaining(found: Input, writer: Writer) -> Iterator[Frame]:
    frames = found.frames(writer.after_pts)
    if writer.after_pts is None:
        for _ in range(writer.done):
            next(frames, None)
    return frames


@contextlib.contextmanager
def _stopping(stop: Callable[[], None]) -> Generator[None]:
    """The first SIGINT or SIGTERM lets the frames at hand finish; the next one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def handle(_number: int, _frame: object) -> None:
        stop()
        restore()

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _finish(writer: Writer, outcome: Outcome) -> tuple[Outcome, Path | None]:
    """End the output; an error of doing so is the run's, unless it had one before."""
    complete = outcome.error is None and not outcome.stopped
    try:
        return outcome, writer.finish(complete=complete)
    except USER_ERRORS as error:
        return dataclasses.replace(outcome, error=outcome.error or error), None


def _explained(error: BaseException, path: Path) -> str:
    """An error's text for the user; one that is a bug is raised."""
    translated = translate_sdk_error(error, str(path)) if isinstance(error, Exception) else None
    known = error if isinstance(error, USER_ERRORS) else translated
    if known is None or os.environ.get("EDGEDEBLUR_DEBUG"):
        raise error
    return one_line(known)


def _exit_code(result: Result, failure: str | None) -> int:
    kept = f"; {result.kept}" if result.kept else ""
    if failure is not None:
        sys.stderr.write(f"deblur-run: error: {failure}{kept}\n")
        return FAILED
    if result.outcome.stopped:
        sys.stderr.write(f"deblur-run: interrupted{kept}\n")
        return INTERRUPTED
    return DONE
