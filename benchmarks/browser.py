"""Imports results that the web page measured: its JSON files, as rows of the same table.

The page writes one file per measurement (schema ``edgedeblur.browser``, version 1), by
``export/web/site/core/benchmark.js``. Its fields are those of `BrowserFile` below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtimes.artifact import Manifest
from .imported import footprint_of, latency_of, read_body, refuse_bad_times
from .result import BenchResult, Conditions, DataSet, Environment, Row
from .serialise import from_json_types

SCHEMA = "edgedeblur.browser"
SCHEMA_VERSION = 1
LAYOUT = "browser"
RUNTIME = "onnxruntime-web"


@dataclass(frozen=True)
class Browser:
    """The browser, as far as it tells.

    Attributes:
        user_agent: Its own line; newer browsers reduce versions and devices in it.
        cores: Logical processors; browsers may report fewer than there are.
        memory_gib: As the browser rounds it; None where it does not tell.
        gpu: Vendor and architecture; None without WebGPU.
    """

    user_agent: str
    cores: int
    memory_gib: float | None
    gpu: str | None


@dataclass(frozen=True)
class BrowserFile:
    """One measurement, as the page writes it. Times are milliseconds, every measured run.

    Attributes:
        schema, schema_version: ``edgedeblur.browser``, 1.
        measured_on: Date, UTC.
        edgedeblur, onnxruntime_web: Versions.
        browser: The browser.
        model: The model's file name.
        manifest: Its manifest, whole, so that the digest can be checked again.
        backend: ``wasm`` or ``webgpu``.
        threads: Of WebAssembly; 1 for WebGPU.
        ran: Which backend ran, and why the other did not.
        content: What was on the picture.
        warmup: Unmeasured runs after the first.
        size: (height, width) of the network's input.
        load_ms, first_ms: From the downloaded files to a session, and the first run.
        infer_ms: Float array to float array.
        end_to_end_ms, pre_ms, post_ms: Pixels to pixels, and the parts around the network.
    """

    schema: str
    schema_version: int
    measured_on: str
    edgedeblur: str
    onnxruntime_web: str
    browser: Browser
    model: str
    manifest: dict[str, Any]
    backend: str
    threads: int
    ran: str
    content: str
    warmup: int
    size: tuple[int, int]
    load_ms: float
    first_ms: float
    infer_ms: tuple[float, ...]
    end_to_end_ms: tuple[float, ...]
    pre_ms: tuple[float, ...]
    post_ms: tuple[float, ...]


def read_browser_results(paths: Sequence[Path]) -> BenchResult:
    """Read files that the page wrote, all in one browser.

    Raises:
        OSError: a file does not exist, or cannot be read.
        ValueError: not a page's result, damaged, or from another browser than the first.
    """
    files = [read_browser_file(path) for path in paths]
    first = files[0]
    machine = _machine(first)
    for path, file in zip(paths, files, strict=True):
        if _machine(file) != machine:
            raise ValueError(
                f"{path}: measured in another browser, or with another onnxruntime-web, than "
                f"{paths[0]}; a table has one machine, so import them separately"
            )
    gpu = next((file.browser.gpu for file in files if file.browser.gpu), None)
    return BenchResult(
        conditions=Conditions(
            size=first.size,
            protocol="edge",
            device=first.backend,
            threads=first.threads,
            runs=len(first.infer_ms),
            warmup=first.warmup,
        ),
        data=DataSet(first.content, LAYOUT, "-", 0, ""),
        environment=dataclasses.replace(machine, gpu=gpu),
        rows=tuple(_row(file, str(path)) for path, file in zip(paths, files, strict=True)),
        measured_on=first.measured_on,
    )


def read_browser_file(path: Path) -> BrowserFile:
    """Read one file that the page offered for download.

    Raises:
        OSError: it does not exist, or cannot be read.
        ValueError: not JSON, not a page's result, of another version, or without measurements.
    """
    body = read_body(path)
    if body.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a result of the web page; download it from there again")
    if body.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: browser schema {body.get('schema_version')!r}, this version reads "
            f"{SCHEMA_VERSION}; use a page and a deblur-bench of the same version"
        )
    file = from_json_types(BrowserFile, body, origin=str(path))
    _manifest(file, str(path))
    refuse_bad_times(path, file.infer_ms, file.end_to_end_ms, file.pre_ms, file.post_ms)
    return file


def _manifest(file: BrowserFile, origin: str) -> Manifest:
    return Manifest.from_dict(file.manifest, origin=f"{origin}, its manifest")


def _row(file: BrowserFile, origin: str) -> Row:
    manifest = _manifest(file, origin)
    where = "WebGPU" if file.backend == "webgpu" else f"WebAssembly, {file.threads} threads"
    return Row(
        engine=f"{file.model} in the browser, {where}",
        target=manifest.target,
        backbone=manifest.backbone,
        network=manifest.network,
        norm=manifest.norm,
        runs_as=file.ran,
        precision=manifest.target.rpartition("-")[2],
        sha256=manifest.sha256,
        checkpoint_sha256=manifest.checkpoint.sha256,
        footprint=footprint_of(manifest, file.size),
        latency=latency_of(file, file.size, "browsers do not tell"),
        runtime=RUNTIME,
    )


def _machine(file: BrowserFile) -> Environment:
    """What all files of a table must share; the graphics processor only those with WebGPU know."""
    browser = file.browser
    return Environment(
        cpu=f"a browser on {browser.cores} logical cores",
        cores=browser.cores,
        threads_usable=browser.cores,
        memory_bytes=None,
        os=browser.user_agent,
        python="",
        gpu=None,
        packages={RUNTIME: file.onnxruntime_web, "edgedeblur": file.edgedeblur},
    )
