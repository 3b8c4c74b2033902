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

from .imported import Kind, manifest_of, row_of
from .result import BenchResult, Environment, Row

ORT, LITERT = "onnxruntime-web", "LiteRT.js"


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
        edgedeblur: Its version.
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
        onnxruntime_web, litert_js: The version of the runtime that ran; None for the other.
    """

    schema: str
    schema_version: int
    measured_on: str
    edgedeblur: str
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
    onnxruntime_web: str | None = None
    litert_js: str | None = None

    @property
    def runtime(self) -> tuple[str, str]:
        """The name and version of what ran the model.

        Raises:
            ValueError: the file names none, or two.
        """
        named = {ORT: self.onnxruntime_web, LITERT: self.litert_js}
        given = [(name, version) for name, version in named.items() if version is not None]
        if len(given) != 1:
            raise ValueError(f"{self.model}: its result names {len(given)} runtimes; measure again")
        return given[0]


BROWSER = Kind(BrowserFile, "browser", 1, "the web page", "download it from there again", "a page")


def read_browser_results(paths: Sequence[Path]) -> BenchResult:
    """Read files that the page wrote, all in one browser.

    Raises:
        OSError: a file does not exist, or cannot be read.
        ValueError: not a page's result, damaged, or from another browser than the first.
    """
    files = [BROWSER.read(path) for path in paths]
    first = files[0]
    machine = _machine(first)
    for path, file in zip(paths, files, strict=True):
        if _machine(file) != machine:
            raise ValueError(
                f"{path}: measured in another browser, or by another version of the page, than "
                f"{paths[0]}; a table has one machine, so import them separately"
            )
    packages: dict[str, str] = {}
    for path, (name, version) in zip(paths, (file.runtime for file in files), strict=True):
        if packages.setdefault(name, version) != version:
            raise ValueError(
                f"{path}: measured with another {name} than those before it; a table has one "
                "version, so import them separately"
            )
    gpu = next((file.browser.gpu for file in files if file.browser.gpu), None)
    return BROWSER.joined(
        first,
        [_row(file, str(path)) for path, file in zip(paths, files, strict=True)],
        size=first.size,
        device=first.backend,
        environment=dataclasses.replace(
            machine, gpu=gpu, packages={**packages, **machine.packages}
        ),
    )


def _row(file: BrowserFile, origin: str) -> Row:
    where = "WebGPU" if file.backend == "webgpu" else f"WebAssembly, {file.threads} threads"
    return row_of(
        file,
        manifest_of(file, origin),
        file.size,
        engine=f"{file.model} in the browser, {where}",
        runtime=file.runtime[0],
        memory_method="browsers do not tell",
    )


def _machine(file: BrowserFile) -> Environment:
    """What all files must share; only those with WebGPU know the graphics processor."""
    browser = file.browser
    return Environment(
        cpu=f"a browser on {browser.cores} logical cores",
        cores=browser.cores,
        threads_usable=browser.cores,
        memory_bytes=None,
        os=browser.user_agent,
        python="",
        gpu=None,
        packages={"edgedeblur": file.edgedeblur},
    )
