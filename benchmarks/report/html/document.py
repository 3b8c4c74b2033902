"""Writes the page: one file that opens from disk and asks nothing of any network."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ....runtimes.files import replacing
from ....runtimes.optional import require
from .gallery import Gallery, read_gallery
from .payload import (
    Source,
    error_lines,
    headings,
    machine_lines,
    payload,
    table,
)
from .regressions import Comparison
from .runs import EXPORT_HEADINGS, Runs

_ASSETS = files("edgedeblur.benchmarks.report.html") / "assets"
EXTRA = "bench"


def write_html(
    path: Path,
    sources: Sequence[Source],
    *,
    pictures: Path | None = None,
    full_quality: bool = False,
    comparison: Comparison | None = None,
    runs: Runs | None = None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The file.
        sources: The results, at least one.
        pictures: Folder in which `pictures.write_each` saved pictures of the one result; None for
            no gallery.
        full_quality: Store pictures without loss, however large the file becomes.
        comparison: What changed between the results.
        runs: Exports and compressions to show too.

    Raises:
        OSError: it cannot be written.
        MissingDependencyError: Jinja2 or Plotly is not installed.
    """
    engines = [row.engine for source in sources for row in source.result.rows]
    gallery = read_gallery(pictures, engines, full=full_quality)
    text = html_text(sources, gallery, comparison, runs)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def html_text(
    sources: Sequence[Source],
    gallery: Gallery | None = None,
    comparison: Comparison | None = None,
    runs: Runs | None = None,
) -> str:
    """The page's text.

    Raises:
        MissingDependencyError: Jinja2 or Plotly is not installed.
    """
    jinja2 = require("jinja2", extra=EXTRA)
    gallery = gallery or Gallery((), "")
    runs = runs or Runs([], [])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_asset("report.html.j2"))
    data = {
        **payload(sources),
        "pictures": list(gallery.pictures),
        "compressions": [run.to_dict() for run in runs.compressions],
    }
    return template.render(
        version=importlib.metadata.version("edgedeblur"),
        sources=sources,
        headings=headings(sources),
        rows=table(sources),
        machines=machine_lines(sources),
        errors=error_lines(sources),
        gallery=gallery,
        comparison=comparison,
        runs=runs,
        export_headings=EXPORT_HEADINGS,
        data=_json_for_script(data),
        style=_asset("report.css"),
        script=_asset("report.js"),
        slider_style=_asset("img-comparison-slider.css"),
        slider_script=_asset("img-comparison-slider.js"),
        plotly_script=_plotly(),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly's script, from its Python package; the package itself need not be imported."""
    require("plotly", extra=EXTRA)
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _json_for_script(value: dict[str, Any]) -> str:
    """JSON that ends no script element early: HTML has no escapes within one, JSON has."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
