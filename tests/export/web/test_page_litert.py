"""The page in headless Chromium with LiteRT.js: which files it loads, threads, and what it says."""

import json

import numpy as np
import pytest
from edgedeblur.runtimes.compare import psnr_db

from .support import CAT, FP32, TFLITE_FP32, TFLITE_INT8, Opened, Served, break_site, by_python

pytestmark = pytest.mark.web


def site_of(site, folder, *models, missing=()):
    """A copy of the site that has these models, without some of its files."""
    copy = break_site(site, folder, *missing)
    body = json.loads((copy / "site.json").read_text("utf-8"))
    body["models"] = [each for each in body["models"] if each["file"] in models]
    (copy / "site.json").write_text(json.dumps(body), "utf-8")
    return copy


def loaded(page, url):
    """The runtimes' files that the page asked for since the last call."""
    paths = {each.removeprefix(url) for each in page.requests}
    page.requests.clear()
    return sorted(path for path in paths if path.startswith(("ort/", "litert/")))


def deblurred(page, picture=CAT):
    done = len(page.states())
    page.drop(picture)
    page.until(lambda: page.states()[done:] == ["done"])
    return np.ascontiguousarray(page.canvas()[..., :3])


def test_a_site_with_both_kinds_switches_and_loads_only_what_it_needs(chromium, site, tmp_path):
    copy = site_of(site, tmp_path / "site", FP32, TFLITE_INT8)
    server = Served(copy)
    page = Opened(chromium, server.url)
    page.ready()
    assert loaded(page, server.url) == ["ort/ort.wasm.gz", "ort/ort.wasm.js"]
    first = deblurred(page)
    assert page.choose(model=TFLITE_INT8).endswith("TFLite files run on the CPU.")
    assert loaded(page, server.url) == [
        "litert/litert.js", "litert/litert.threads.gz", "litert/litert.threads.js",
    ]  # fmt: skip
    assert psnr_db(deblurred(page), by_python(copy, TFLITE_INT8, CAT)) >= 40.0
    assert "LiteRT.js 2." in page.page.locator("#about").inner_text()
    page.choose(model=FP32)
    assert loaded(page, server.url) == ["ort/ort.wasm.gz", "ort/ort.wasm.js"]
    assert np.array_equal(deblurred(page), first)
    assert page.complaints == []
    page.page.close()
    server.close()


def test_first_load_of_int8_is_small(chromium, site, tmp_path):
    server = Served(site_of(site, tmp_path / "site", TFLITE_INT8))
    page = Opened(chromium, server.url)
    page.ready()
    print(f"first load with {TFLITE_INT8}: {server.sent / 1e6:.1f} MB")  # noqa: T201 - as above
    assert 4e6 < server.sent < 6e6
    page.page.close()
    server.close()


def test_without_isolation_it_runs_in_one_thread_with_the_same_pixels(chromium, site, tmp_path):
    copy = site_of(site, tmp_path / "site", TFLITE_FP32)
    server = Served(copy, isolated=False)
    page = Opened(chromium, server.url)
    assert page.ready().startswith("Ready: CPU (WebAssembly, 1 thread)")
    assert "litert/litert.plain.js" in loaded(page, server.url)
    assert psnr_db(deblurred(page), by_python(copy, TFLITE_FP32, CAT)) >= 50.0
    assert page.complaints == []
    page.page.close()
    server.close()


def test_without_relaxed_simd_it_takes_the_third_build_and_says_so(chromium, site, tmp_path):
    """As in browsers without it: the library's answer is altered."""
    copy = site_of(site, tmp_path / "site", TFLITE_FP32)
    library = copy / "litert" / "litert.js"
    text = library.read_text("utf-8")
    assert text.count("return (await check).supported;") == 1
    library.write_text(text.replace("return (await check).supported;", "return false;"), "utf-8")
    server = Served(copy)
    page = Opened(chromium, server.url)
    ready = page.ready()
    assert ready.startswith("Ready: CPU (WebAssembly, 1 thread)")
    assert "This browser has no relaxed SIMD, which LiteRT.js's threads need." in ready
    assert "litert/litert.compat.js" in loaded(page, server.url)
    assert psnr_db(deblurred(page), by_python(copy, TFLITE_FP32, CAT)) >= 50.0
    page.page.close()
    server.close()


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("litert/litert.threads.gz", "the runtime is missing: the server has no litert.threads.gz"),
        ("litert/litert.threads.js", "the runtime's litert.threads.js is missing or damaged"),
        ("litert/litert.js", "the runtime's litert.js is missing or damaged"),
        (f"models/{TFLITE_FP32}", f"the model is missing: the server has no {TFLITE_FP32}"),
    ],
)
def test_missing_files_are_named(chromium, site, tmp_path, missing, sentence):
    server = Served(site_of(site, tmp_path / "site", TFLITE_FP32, missing=(missing,)))
    page = Opened(chromium, server.url)
    page.until(lambda: page.problem)
    assert sentence in page.problem
    assert "deblur-export --web" in page.problem
    page.page.close()
    server.close()


def test_webgpu_is_refused_and_the_cpu_goes_on(opened, tmp_path):
    opened.choose(model=TFLITE_FP32)
    opened.page.select_option("#backend", "webgpu")
    opened.until(lambda: opened.problem)
    assert opened.problem == (
        "This page runs TFLite files on the CPU only. Choose Automatic or CPU."
    )
    opened.choose(backend="wasm")
    assert opened.problem == ""
    assert deblurred(opened).shape == (300, 451, 3)
