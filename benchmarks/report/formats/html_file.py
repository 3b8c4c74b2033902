"""Writes a result as one HTML file."""

from __future__ import annotations

from pathlib import Path

from ....runtimes.files import check_writable
from ...result import BenchResult
from ..html.document import write_html
from ..html.payload import Source
from ..registry import Destination, ReportFormat


def _write(result: BenchResult, to: Destination) -> None:
    """Raises FileExistsError if the file is there and may not be replaced, OSError as usual."""
    target = Path(to.target)
    check_writable(target, force=to.force)
    source = Source(target.stem, result)
    write_html(target, [source], pictures=to.pictures, full_quality=to.full_quality)


FORMAT = ReportFormat("html", _write, suffix=".html")
