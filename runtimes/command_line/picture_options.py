"""Options about pictures that several commands have: quality, borders, tiles; and their words."""

from __future__ import annotations

import argparse
import re

from ..pictures.tile_plan import DEFAULT_OVERLAP_PX, EDGE, FULL_OVERLAP, PROTOCOLS
from .common_options import Group


def add_tiling_options(group: Group) -> None:
    """``--protocol``, ``--tile`` and ``--overlap``, as `TilingOptions` takes them."""
    add = group.add_argument
    add(
        "--protocol",
        choices=PROTOCOLS,
        default=EDGE,
        help="edge: reflect at the border and round; paper: pad and truncate as the reference "
        "code does, to compare with published numbers (default: edge)",
    )
    add(
        "--tile",
        type=_size,
        metavar="HxW",
        help="cut pictures into tiles of this height and width, multiples of 32 (default: whole "
        "up to 2 megapixels; artifacts of fixed size use theirs)",
    )
    add(
        "--overlap",
        type=_overlap,
        metavar="N|full",
        help="pixels that neighbouring tiles share; full: as far as the network sees, which makes "
        f"tiles exact for frozen norms (default: {DEFAULT_OVERLAP_PX})",
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 736x1280")
    return int(match[1]), int(match[2])


def _overlap(text: str) -> int:
    return FULL_OVERLAP if text == "full" else count(text, "a number of pixels or 'full'")


def quality(text: str) -> int:
    """Text -> 1 to 100; argparse.ArgumentTypeError for others."""
    number = count(text)
    if not 1 <= number <= 100:
        raise argparse.ArgumentTypeError(f"quality goes from 1 to 100, not {text}")
    return number


def count(text: str, expected: str = "a whole number, 0 or more") -> int:
    """Text -> a whole number; argparse.ArgumentTypeError for others, which says ``expected``."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return int(text)
