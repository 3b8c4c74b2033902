"""Command-line options of the TensorRT targets, and their parsers.

Values are JSON types, or paths, which manifests do not record.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from ...runtimes.run_tensorrt.sdk import MODULES
from ..registry import Option
from .io_types import IO_FORMATS

CAPABILITIES = ("75", "80", "86", "89", "120", "121", "current")


def _capabilities(text: str) -> list[str]:
    words = list(dict.fromkeys(filter(None, text.replace(".", "").split(","))))
    unknown = [word for word in words if word not in CAPABILITIES]
    if unknown or not words:
        raise argparse.ArgumentTypeError(f"{text!r}: known are {', '.join(CAPABILITIES)}")
    return words


def _profile(text: str) -> list[list[int]]:
    from ..arguments import parse_size

    sizes = [list(parse_size(part)) for part in text.split(",")]
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN,OPT,MAX: three sizes HxW")
    return sizes


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return parse


OPTIONS = (
    Option("--trt", "which library builds: tensorrt, or rtx (TensorRT for RTX, which builds "
           "without a GPU) (default: tensorrt where it and a GPU are usable, else rtx)",
           choices=tuple(MODULES)),
    Option("--io", "type of input and output; uint8 takes whole pictures, NHWC (default: fp32)",
           choices=IO_FORMATS, default="fp32"),
    Option("--compute-capability", "GPUs that a TensorRT for RTX engine runs on (default: Ampere "
           "and newer)", _capabilities, metavar="75,80,86,89,120,121|current"),
    Option("--profile", "smallest, usual and largest size of --dynamic (default: the network's "
           "smallest, --size, --size)", _profile, metavar="MIN,OPT,MAX"),
    Option("--max-batch", "largest number of pictures at once (default: 1)", _number(1, 256),
           default=1, metavar="N"),
    Option("--workspace", "largest scratch memory of a layer in MiB (default: the library's)",
           _number(1, 999_999), metavar="MIB"),
    Option("--opt-level", "how long TensorRT looks for fast kernels, 0 to 5; TensorRT for RTX "
           "looks where the engine runs (default: the library's)", _number(0, 5), metavar="N"),
    Option("--timing-cache", "file in which TensorRT keeps what it timed for the next build", Path,
           metavar="FILE"),
    Option("--keep-onnx", "also write the typed ONNX that the engine is built from; replaces FILE",
           Path, metavar="FILE"),
    Option("--layer-info", "write the engine's layers as JSON; needs a GPU", Path, metavar="FILE"),
    Option("--verbose", "print the trtexec call that builds the same engine", bool, default=False),
)  # fmt: skip
