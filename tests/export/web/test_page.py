"""The page in headless Chromium: what a visitor does with it, and that its pixels are Python's."""

import base64
import json

import numpy as np
import pytest
from edgedeblur.benchmarks.browser import read_browser_results
from edgedeblur.runtimes import open_runner, read_picture
from edgedeblur.runtimes.compare import psnr_db
from PIL import Image

from .support import FP32, INT8, SAMPLES, Opened, Served, break_site, export_site, launch

pytestmark = pytest.mark.web
CAT, DOGS = SAMPLES / "cat.png", SAMPLES / "dogs.png"
FIRST_LOAD_BYTES = 15e6


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return export_site(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def driver():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(driver):
    browser = launch(driver)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def served(site):
    server = Served(site)
    yield server
    server.close()


@pytest.fixture
def opened(chromium, served):
    page = Opened(chromium, served.url)
    assert page.ready().startswith("Ready"), page.problem
    yield page
    assert page.complaints == []
    assert page.outside(served.url) == []
    page.page.close()


def photo():
    return Image.fromarray(read_picture(CAT).pixels)


def by_python(site, model, picture):
    """Deblurred by the artifact that the site serves, in onnxruntime, with Python's tiles."""
    with open_runner(site / "models" / model, threads=2) as runner:
        return runner.deblur(read_picture(picture).pixels)


def test_first_load_is_small_and_threads_run_where_the_page_is_isolated(chromium, site):
    server = Served(site)
    page = Opened(chromium, server.url)
    assert page.ready().startswith("Ready: CPU (WebAssembly, 2 threads)")
    assert "no graphics processor" in page.status  # why not WebGPU
    assert 5e6 < server.sent < FIRST_LOAD_BYTES
    print(f"first load with {FP32}: {server.sent / 1e6:.1f} MB")  # noqa: T201 - make web-check shows it
    page.page.close()
    server.close()


@pytest.mark.parametrize(("model", "least_db"), [(FP32, 50.0), (INT8, 40.0)])
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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_and_is_kept(opened, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a maker"
    path = tmp_path / "turned.jpg"
    photo().crop((30, 40, 130, 100)).save(path, quality=95, subsampling=0, exif=exif)
    opened.drop(path)
    assert opened.finished() == ["done"]
    upright = read_picture(path).pixels
    assert opened.canvas("before").shape[:2] == upright.shape[:2]
    after = opened.download("#download", tmp_path)
    assert after.name == "turned_deblurred.jpg"
    with Image.open(after) as given:
        assert dict(given.getexif()) == {0x0112: 1, 0x010F: "a maker"}
    assert psnr_db(read_picture(after).pixels, upright) > 25.0  # the same way up


def test_a_turned_png_and_its_profile(opened, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    profile = b"not a real profile" * 10
    photo().crop((0, 0, 100, 60)).save(path, exif=exif, icc_profile=profile)
    opened.drop(path)
    assert opened.finished() == ["done"]
    after = opened.download("#download", tmp_path)
    given, wanted = read_picture(after), read_picture(path)
    assert given.pixels.shape == wanted.pixels.shape
    assert psnr_db(given.pixels, wanted.pixels) > 25.0
    assert given.icc == profile


def test_transparency_is_kept(opened, tmp_path):
    picture = np.dstack([read_picture(CAT).pixels[:64, :96], np.full((64, 96), 255, np.uint8)])
    picture[:20, :, 3] = 0
    Image.fromarray(picture).save(tmp_path / "hole.png")
    opened.drop(tmp_path / "hole.png")
    assert opened.finished() == ["done"]
    assert np.array_equal(opened.canvas()[..., 3], picture[..., 3])


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


def test_what_is_no_picture_gets_one_sentence_and_stops_nothing(opened, tmp_path):
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.jpg"
    text.write_text("no picture")
    cut.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    opened.drop(text, cut, CAT)
    assert opened.finished() == ["failed", "failed", "done"]
    first = opened.page.locator("#pictures li").first.inner_text()
    assert "notes.txt is not a picture that this browser can open, or it is damaged" in first
    assert "take a JPEG, PNG or WebP" in opened.problem


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (f"models/{FP32}", f"the model is missing: the server has no {FP32} (HTTP 404)"),
        (f"models/{FP32}.json", "the model's manifest is missing"),
        ("ort/ort.wasm.gz", "the runtime is missing: the server has no ort.wasm.gz"),
        ("site.json", "the site's list of models is missing"),
    ],
)
def test_missing_files_are_named(chromium, site, tmp_path, missing, sentence):
    server = Served(break_site(site, tmp_path / "site", missing))
    page = Opened(chromium, server.url)
    page.until(lambda: page.problem)
    assert sentence in page.problem
    assert "deblur-export --web" in page.problem
    assert page.page.locator("#problem").get_attribute("role") == "alert"
    page.page.close()
    server.close()


def test_an_altered_model_is_refused(chromium, site, tmp_path):
    copy = break_site(site, tmp_path / "site")
    model = copy / "models" / FP32
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    server = Served(copy)
    page = Opened(chromium, server.url)
    page.until(lambda: page.problem)
    assert f"{FP32} is not the file that its manifest describes" in page.problem
    page.page.close()
    server.close()


def test_no_webgpu_is_told(opened):
    opened.page.select_option("#backend", "webgpu")
    opened.until(lambda: opened.problem)
    assert opened.problem == (
        "WebGPU finds no graphics processor on this machine. Choose Automatic or CPU."
    )
    opened.page.select_option("#backend", "wasm")
    assert opened.ready().startswith("Ready: CPU")
    assert opened.problem == ""


def test_the_benchmark_can_be_imported(opened, tmp_path):
    opened.page.click("#benchmark")
    opened.until(lambda: opened.status == "The benchmark is done.")
    shown = opened.page.locator("#times td").first.inner_text()
    path = opened.download("#json", tmp_path)
    (row,) = read_browser_results([path]).rows
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
