"""``python -m tests.export.web.times SITE``: the page's times beside Python's, as a table.

One photo of the models' own size, each side by side on this machine: the page in headless
Chromium with threads and without, and the same files in onnxruntime or LiteRT from Python with 2
threads and 1.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from edgedeblur.runtimes import open_runner, read_picture

from .support import SAMPLES, Opened, Served, launch

PHOTO = SAMPLES / "mountains.png"  # 1280x720
RUNS = 5


def main(site: Path) -> int:
    from playwright.sync_api import sync_playwright

    models = [model["file"] for model in json.loads((site / "site.json").read_text())["models"]]
    rows: list[tuple[str, str, float, float]] = []
    with sync_playwright() as driver:
        browser = launch(driver)
        for isolated in (True, False):
            server = Served(site, isolated=isolated)
            page = Opened(browser, server.url)
            page.ready()
            for model in models:
                where = page.choose(backend="wasm", model=model).removeprefix("Ready: ").rstrip(".")
                rows.append((model, where, *_page_times(page)))
            page.page.close()
            server.close()
        browser.close()
    rows += [
        (model, f"Python, {threads} threads", *_python_times(site / "models" / model, threads))
        for model in models
        for threads in (2, 1)
    ]
    print("| model | where | network ms | whole photo ms |\n|---|---|---:|---:|")  # noqa: T201
    for model, where, infer, whole in sorted(rows, key=lambda row: models.index(row[0])):
        print(f"| {model} | {where} | {infer:.0f} | {whole:.0f} |")  # noqa: T201
    print(f"Medians of {RUNS} after the first; {PHOTO.name}, decoding and encoding left out.")  # noqa: T201
    return 0


def _page_times(page: Opened) -> tuple[float, float]:
    times = []
    for _ in range(RUNS + 1):
        done = len(page.states())
        page.drop(PHOTO)
        page.until(lambda done=done: page.states()[done:] == ["done"])
        text = page.page.locator("#pictures li").last.locator(".note").inner_text()
        times.append((_ms(r"network ([\d.]+ m?s)", text), _ms(r": ([\d.]+ m?s) on", text)))
    infer, whole = zip(*times[1:], strict=True)
    return statistics.median(infer), statistics.median(whole)


def _ms(pattern: str, text: str) -> float:
    number, unit = re.search(pattern, text)[1].split()
    return float(number) * (1 if unit == "ms" else 1000)


def _python_times(model: Path, threads: int) -> tuple[float, float]:
    picture = read_picture(PHOTO).pixels
    times = []
    with open_runner(model, threads=threads) as runner:

        def timed(image: np.ndarray) -> np.ndarray:
            start = time.perf_counter()
            output = runner.infer(image)
            spent.append(1000 * (time.perf_counter() - start))
            return output

        for _ in range(RUNS + 1):
            spent: list[float] = []
            start = time.perf_counter()
            runner.deblur(picture, infer=timed)
            times.append((sum(spent), 1000 * (time.perf_counter() - start)))
    infer, whole = zip(*times[1:], strict=True)
    return statistics.median(infer), statistics.median(whole)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
