"""``deblur-data video``: pairs out of a sharp clip, as GOPRO was made from frames at 240 fps."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.command_line.console import DONE, print_json, progress_bar

if TYPE_CHECKING:
    from ..data.clip_pairs import Made

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

DEFAULT_FRAMES = (7, 13)


def add_parser(commands: _Commands) -> None:
    """Add the sub-command's options."""
    parser = commands.add_parser(
        "video",
        help="average frames of a sharp clip",
        description="Average 7 to 13 neighbouring frames of a sharp clip in linear light. The mean "
        "is the blurry picture, the frame in the middle the sharp one. Windows with a cut in them "
        "are left out. deblur-train --pairs and deblur-bench --data read the result.",
    )
    add = parser.add_argument
    add("clip", type=Path, metavar="FILE", help="a sharp clip, best at 120 frames a second or more")
    add("-o", "--output", type=Path, required=True, metavar="DIR",
        help="folder that gets blurry/ and sharp/")  # fmt: skip
    add(
        "--frames",
        type=_window,
        default=DEFAULT_FRAMES,
        metavar="N|N..M",
        help="frames to average, an odd number; of a range, each pair draws one (default: 7..13)",
    )
    add("--limit", type=_positive, metavar="N", help="make at most so many pairs")
    add("--seed", type=int, default=0, metavar="N", help="of the drawn windows (default: 0)")
    add("--force", action="store_true", help="replace existing pairs of the same name")
    add("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the pairs; ValueError if there are none."""
    from ..data.clip_pairs import make_pairs

    with progress_bar("frames", enabled=not arguments.json, rate="fps") as update:
        made = make_pairs(
            arguments.clip,
            arguments.output,
            window=arguments.frames,
            limit=arguments.limit,
            seed=arguments.seed,
            force=arguments.force,
            progress=lambda done, total: update(done, total or done),
        )
    _print(arguments, made)
    return DONE


def _print(arguments: argparse.Namespace, made: Made) -> None:
    cuts = {str(frame): round(value, 3) for frame, value in made.cuts.items()}
    if arguments.json:
        print_json({"output": str(arguments.output), "pairs": made.pairs, "cuts": cuts})
        return
    sys.stdout.write(f"{arguments.clip} -> {arguments.output} {made.pairs} pairs\n")
    for frame, value in cuts.items():
        sys.stdout.write(f"cut before frame {frame} (correlation {value}); no pair spans it\n")


def _window(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})(?:\.\.(\d{1,3}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number or a range such as 7..13")
    low, high = int(match[1]), int(match[2] or match[1])
    if low % 2 == 0 or high % 2 == 0 or not 3 <= low <= high:
        raise argparse.ArgumentTypeError(
            f"{text}: both ends are odd and at least 3, the first not above the second"
        )
    return low, high


def _positive(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
