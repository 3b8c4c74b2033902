"""Notes of results from browsers."""

from __future__ import annotations

from ..browser import BROWSER
from ..result import BenchResult


def is_from_browser(result: BenchResult) -> bool:
    """Whether the web page measured it."""
    return result.data.layout == BROWSER.name


def browser_notes(result: BenchResult) -> tuple[str, ...]:
    """Browser and conditions first, then what the numbers mean."""
    machine = result.environment
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    gpu = f", GPU {machine.gpu}" if machine.gpu else ""
    lines = [
        f"{row.engine}: median of {row.latency.runs} runs after the first and "
        f"{row.latency.warmup} more. {row.runs_as}"
        for row in result.rows
        if row.latency is not None
    ]
    return (
        f"{machine.cpu}{gpu}: {machine.os}; {versions}; batch 1; {result.data.name}; "
        f"{result.measured_on}",
        *lines,
        "Measured by the web page. infer: float array to float array, copies to and from the GPU "
        "included; deblur: RGBA pixels to RGBA pixels, one picture of the model's own size; load: "
        "downloaded files to a session. Browsers round their clocks, and may slow down pages in "
        "the background.",
        "GMACs: convolutions only, from the manifest; GFLOPs are twice that.",
    )
