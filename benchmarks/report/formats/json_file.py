"""Writes a result as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from ....runtimes.command_line.console import print_json
from ....runtimes.files import replacing
from ...result import BenchResult
from ..registry import STDOUT, Destination, ReportFormat


def write_json(result: BenchResult, target: str) -> None:
    """Write the result to the file ``target``, whole or not at all, or to standard output for -.

    Raises:
        OSError: the file cannot be written.
    """
    if target == STDOUT:
        print_json(result.to_dict())
        return
    with replacing(Path(target)) as temporary:
        temporary.write_text(json_text(result), encoding="utf-8")


def json_text(result: BenchResult) -> str:
    """The result as indented JSON."""
    return json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n"


def _write(result: BenchResult, to: Destination) -> None:
    write_json(result, to.target)


FORMAT = ReportFormat("json", _write)
