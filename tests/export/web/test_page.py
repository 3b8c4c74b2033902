"""The page in headless Chromium: what a visitor does with it, and that its pixels are Python's."""

import base64
import json

import numpy as np
import pytest
from edgedeblur.benchmarks.browser import read_browser_results
from edgedeblur.export.web import vendor
from edgedeblur.runtimes import read_picture
from edgedeblur.runtimes.compare import psnr_db

from .support import (
    CAT,
    DOGS,
    FP32,
    INT8,
    TFLITE_FP16,
    TFLITE_FP32,
    TFLITE_INT8,
    Opened,
    Served,
    by_python,
    export_site,
    launch,
    photo,
)

pytestmark = pytest.mark.web
FIRST_LOAD_BYTES = 15e6


def test_first_load_is_small_and_threads_run_where_the_page_is_isolated(chromium, site):
    server = Served(site)
    page = Opened(chromium, server.url)
    cores = min(8, page.page.evaluate("navigator.hardwareConcurrency"))
    assert f"Ready: CPU (WebAssembly, {cores} thread" in page.ready()
    assert "no graphics processor" in page.status  # why not WebGPU
    assert 5e6 < server.sent < FIRST_LOAD_BYTES
    print(f"first load with {FP32}: {server.sent / 1e6:.1f} MB")  # noqa: T201 - make web-check shows it
    page.page.close()
    server.close()


@pytest.mark.parametrize(
    ("model", "least_db"),
    [(FP32, 50.0), (INT8, 40.0), (TFLITE_FP32, 50.0), (TFLITE_FP16, 50.0), (TFLITE_INT8, 40.0)],
)
def test_pixels_are_pythons(opened, site, model, least_db):
    opened.choose(model=model)
    opened.drop(CAT)
    assert opened.finished() == ["done"]
    shown, wanted = opened.canvas(), by_python(site, model, CAT)
    assert (shown[..., 3] == 255).all()
    assert shown.shape[:2] == wanted.shape[:2]
    found = psnr_db(np.ascontiguousarray(shown[..., :3]), wanted)
    print(f"{model}: {found:.1f} dB between the page and Python")  # noqa: T201
    assert found >= least_db
    # It did something, and the left side is the photo as it was.
    before = opened.canvas("before")[..., :3]
    assert np.array_equal(before, read_picture(CAT).pixels)
    assert np.abs(before.astype(int) - shown[..., :3]).mean() > 0.1
    assert "63 tiles" in opened.page.locator("#timing").inner_text()


def test_without_isolation_it_runs_in_one_thread_with_the_same_pixels(chromium, site):
    server = Served(site, isolated=False)
    page = Opened(chromium, server.url)
    assert page.ready().startswith("Ready: CPU (WebAssembly, 1 thread)")
    page.drop(CAT)
    assert page.finished() == ["done"]
    shown = np.ascontiguousarray(page.canvas()[..., :3])
    assert psnr_db(shown, by_python(site, FP32, CAT)) >= 50.0
    page.page.close()
    server.close()


def test_webgpu_gives_the_same_pixels(driver, site, served):
    """On SwiftShader, which emulates a graphics processor on the CPU."""
    browser = launch(driver, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    page = Opened(browser, served.url)
    assert "WebGPU is only emulated on this machine" in page.ready()
    assert page.choose(backend="webgpu").startswith("Ready: graphics processor (WebGPU)")
    photo().crop((0, 0, 96, 64)).save(site.parent / "crop.png")
    page.drop(site.parent / "crop.png")
    assert page.finished(120) == ["done"]
    shown = np.ascontiguousarray(page.canvas()[..., :3])
    found = psnr_db(shown, by_python(site, FP32, site.parent / "crop.png"))
    print(f"WebGPU (SwiftShader): {found:.1f} dB between the page and Python")  # noqa: T201
    assert found >= 50.0
    browser.close()


def test_several_pictures_by_drop_and_keyboard(opened, tmp_path):
    page = opened.page
    transfer = page.evaluate_handle(
        """([names, texts]) => {
          const transfer = new DataTransfer();
          names.forEach((name, i) => transfer.items.add(new File(
            [Uint8Array.from(atob(texts[i]), (c) => c.charCodeAt(0))], name)));
          return transfer;
        }""",
        _as_text(CAT, DOGS),
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    assert opened.finished() == ["done", "done"]
    assert page.locator("#shown").inner_text() == "dogs_deblurred.png"
    page.get_by_role("button", name="Show cat.png").press("Enter")
    opened.until(lambda: page.locator("#shown").inner_text() == "cat_deblurred.png")
    slider = page.locator("#slider")
    assert float(slider.evaluate("s => s.value")) == 50
    slider.focus()
    page.keyboard.down("ArrowRight")
    opened.until(lambda: float(slider.evaluate("s => s.value")) > 50)
    page.keyboard.up("ArrowRight")
    page.select_option("#zoom", "2")
    opened.until(lambda: page.evaluate("document.getElementById('after').width") == 902)


def _as_text(*paths):
    texts = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    return [[path.name for path in paths], texts]


def test_cancel_stops_between_tiles_and_work_goes_on_after_it(opened, tmp_path):
    large = tmp_path / "large.png"
    photo().resize((1600, 1200)).save(large)
    opened.drop(large, CAT)
    opened.until(lambda: "tile 3" in opened.status)
    opened.page.click("#cancel")
    assert opened.finished(10) == ["cancelled", "cancelled"]
    assert opened.status == "Cancelled."
    assert not opened.page.locator("#cancel").is_visible()
    opened.page.get_by_role("button", name="Deblur cat.png again").click()
    opened.until(lambda: opened.states() == ["cancelled", "done"])


def test_no_webgpu_is_told(opened):
    opened.page.select_option("#backend", "webgpu")
    opened.until(lambda: opened.problem)
    assert opened.problem == (
        "WebGPU finds no graphics processor on this machine. Choose Automatic or CPU."
    )
    opened.page.select_option("#backend", "wasm")
    assert opened.ready().startswith("Ready: CPU")
    assert opened.problem == ""


@pytest.mark.parametrize(
    ("model", "runtime"), [(FP32, "onnxruntime-web"), (TFLITE_INT8, "LiteRT.js")]
)
def test_the_benchmark_can_be_imported(opened, tmp_path, model, runtime):
    opened.choose(model=model)
    opened.page.click("#benchmark")
    opened.until(lambda: opened.status == "The benchmark is done.")
    shown = opened.page.locator("#times td").first.inner_text()
    path = opened.download("#json", tmp_path)
    result = read_browser_results([path])
    (row,) = result.rows
    pinned = {each.name: vendor.pinned_version(each) for each in (vendor.ORT, vendor.LITERT)}
    assert (row.runtime, result.environment.packages[runtime]) == (runtime, pinned[runtime])
    threads = min(8, opened.page.evaluate("navigator.hardwareConcurrency"))
    assert row.engine == f"{model} in the browser, WebAssembly, {threads} threads"
    assert f"{row.latency.infer.median_ms:.1f}" == shown
    assert (row.latency.runs, row.latency.size) == (10, (64, 96))
    assert row.footprint.bytes == json.loads(path.read_text())["manifest"]["bytes"]
    opened.drop(CAT)  # and the page still works
    assert opened.finished() == ["done"]


def test_dark_mode_and_names_for_screen_readers(chromium, served):
    page = Opened(chromium, served.url, color_scheme="dark")
    page.ready()
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.page.evaluate(colour) == "rgb(21, 24, 28)"
    assert page.page.get_by_label("Choose photos").count() == 1
    assert page.page.get_by_label("Model").count() == 1
    assert page.page.get_by_label("Runs on").count() == 1
    assert page.page.locator("#status").get_attribute("aria-live") == "polite"
    unnamed = page.page.evaluate(
        "[...document.querySelectorAll('button, a[href], select, input')]"
        ".filter((e) => !e.hidden && !e.textContent.trim() && !e.labels?.length).length"
    )
    assert unnamed == 0
    page.page.close()


@pytest.mark.slow
def test_a_photo_of_24_megapixels(chromium, tmp_path):
    """By tiles of 736x1280, with Python's pixels; the file that is shown is what is compared."""
    site = export_site(tmp_path, "736x1280", ("onnx-fp32",))
    server = Served(site)
    page = Opened(chromium, server.url)
    page.page.set_default_timeout(900_000)  # of each action: the page is busy for long
    page.ready()
    path = tmp_path / "large.png"
    photo().resize((6000, 4000)).save(path, compress_level=1)
    page.drop(path)
    assert page.finished(900) == ["done"], page.problem
    print(page.page.locator("#timing").inner_text())  # noqa: T201
    after = read_picture(page.download("#download", tmp_path)).pixels
    (model,) = (file.name for file in (site / "models").glob("*.onnx"))
    assert psnr_db(after, by_python(site, model, path)) >= 50.0
    page.page.close()
    server.close()
