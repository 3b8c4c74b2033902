"""Results that ``deblur-bench --import`` reads: which kind a file is, and its reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .browser import BROWSER, read_browser_results
from .imported import read_body
from .phone import PHONE, read_phone_results

if TYPE_CHECKING:
    from .result import BenchResult


def read_imported(paths: Sequence[Path]) -> BenchResult:
    """Read the files of one phone, or of one browser: the first tells which.

    Raises:
        OSError: a file does not exist, or cannot be read.
        ValueError: not such a result, damaged, or not all of one machine.
    """
    if read_body(paths[0]).get("schema") == BROWSER.schema:
        return read_browser_results(paths)
    return read_phone_results(paths)


def is_imported(body: object) -> bool:
    """Whether the parsed JSON is a file of a phone or a browser, of any version."""
    return isinstance(body, dict) and body.get("schema") in (BROWSER.schema, PHONE.schema)
