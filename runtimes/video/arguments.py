"""The options of ``deblur-run`` that are for clips alone."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from pathlib import Path

from ..command_line.common_options import Group
from .clip import Part
from .output.codecs import CODECS, CONTAINERS, DEFAULT, Coding
from .reader import SUFFIXES
from .sequence import is_pattern

DEFAULT_CODEC = "h264"
DEFAULT_FPS = Fraction(25)


def add_clip_options(group: Group) -> None:
    """Add them; all are off or None by default."""
    add = group.add_argument
    default = ", ".join(f"{c.crf} for {name}" for name, c in CODECS.items() if c.crf is not None)
    add("--codec", choices=tuple(CODECS), help="codec of the output (default: h264; vp9 in .webm)")
    add(
        "--crf",
        type=_crf,
        metavar="N",
        help=f"quality, smaller is better and larger files (default: {default})",
    )
    add("--lossless", action="store_true", help="lose nothing to the codec; files grow much larger")
    add("--preset", metavar="NAME", help="encoder's trade of time for size (default: veryfast)")
    add("--start", type=_time, metavar="TIME", help="first frame, as seconds or [H:]MM:SS[.s]")
    add("--end", type=_time, metavar="TIME", help="leave out the frames from here on")
    add(
        "--fps",
        type=_rate,
        metavar="RATE",
        help="frames a second of an image sequence, such as 30 or 30000/1001 (default: 25)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on after the finished segments of an interrupted run",
    )
    add(
        "--hint",
        choices=("latency", "throughput"),
        help="what OpenVINO and TensorRT run for; throughput keeps several frames in flight "
        "(default: latency)",
    )
    add(
        "--profile",
        action="store_true",
        help="show the rate of each stage, next to that of inference alone",
    )


_CLIPS_ONLY = (
    "codec", "crf", "lossless", "preset", "start", "end", "fps", "resume", "hint", "profile",
)  # fmt: skip
_PICTURES_ONLY = {"format": None, "recursive": False, "skip_existing": False}


def is_clip_run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> bool:
    """Whether the input is a clip or an image sequence; exits with 2 on options of the other kind.

    A clip is told by the ending of its name, a sequence by a number such as ``%05d`` in it.
    """
    inputs: list[str] = arguments.inputs
    clips = [name for name in inputs if is_pattern(name) or _is_clip(name)]
    if not clips and Path(arguments.output).suffix.lower() in CONTAINERS:
        parser.error(
            f"{arguments.output} is a clip; give a clip, or pictures as a pattern such as "
            "frame_%05d.png"
        )
    if clips and len(inputs) > 1:
        parser.error(f"{clips[0]} is a clip; clips are deblurred one a run")
    wrong = _PICTURES_ONLY if clips else dict.fromkeys(_CLIPS_ONLY)
    for name, default in wrong.items():
        value = getattr(arguments, name)
        if value not in (default, False):
            kind = "pictures" if clips else "clips"
            parser.error(f"--{name.replace('_', '-')} is for {kind} only")
    return bool(clips)


def part_of(arguments: argparse.Namespace) -> Part:
    """``--start`` and ``--end``.

    Raises:
        ValueError: they leave nothing.
    """
    part = Part(arguments.start, arguments.end)
    if part.end_s is not None and part.end_s <= (part.start_s or 0.0):
        raise ValueError(f"--end {part.end_s:g} is not after --start {part.start_s or 0:g}")
    return part


def coding_of(arguments: argparse.Namespace) -> Coding:
    """``--codec``, ``--crf``, ``--lossless`` and ``--preset``."""
    suffix = Path(arguments.output).suffix.lower()
    codec = arguments.codec or DEFAULT.get(suffix, DEFAULT_CODEC)
    return Coding(codec, arguments.crf, arguments.lossless, arguments.preset)


def _is_clip(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).is_dir()


def _time(text: str) -> float:
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 12.5 or 1:02:03.5")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def _rate(text: str) -> Fraction:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(?:/(\d{1,6}))?", text)
    rate = Fraction(0) if match is None or match[2] == "0" else Fraction(match[1])
    if match is None or not 0 < rate / int(match[2] or 1) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate such as 30 or 30000/1001")
    return rate / int(match[2] or 1)


def _crf(text: str) -> int:
    if not re.fullmatch(r"\d{1,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 63")
    return int(text)
