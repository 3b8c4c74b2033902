"""The page in headless Chromium: what a reader does with it."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.benchmarks.report.html.document import write_html
from edgedeblur.benchmarks.report.html.regressions import Limits, compare
from edgedeblur.benchmarks.report.html.runs import Runs, read_run

from .support import COMPRESS, row, save_pictures, source

pytestmark = pytest.mark.browser
ENGINES = ("slow.onnx", "fast.onnx", "middle.onnx")
TIMES = {"slow.onnx": 120.0, "fast.onnx": 9.0, "middle.onnx": 30.0}


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page, with its console's complaints and its requests."""

    def __init__(self, browser, path):
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.complaints, self.requests = [], []
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#pareto .main-svg").first.wait_for()

    def until(self, expression):
        """Poll; the page's own policy forbids Playwright's way of waiting for an expression."""
        for _ in range(100):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def names(self, *, visible=True):
        rows = self.page.locator("#figures tbody tr").all()
        return [r.locator("th").inner_text() for r in rows if r.is_visible() or not visible]

    def outside(self):
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def opened(chromium, tmp_path):
    pictures = tmp_path / "pictures"
    save_pictures(pictures, ENGINES)
    path = tmp_path / "report.html"
    rows = [row(name, (TIMES[name],) * 3) for name in ENGINES]
    write_html(path, [source("r", *rows)], pictures=pictures, full_quality=True)
    found = Opened(chromium, path)
    yield found
    assert found.complaints == []
    assert found.outside() == []
    found.page.close()


def heading(page, text):
    return page.get_by_role("button", name=text)


def test_rows_sort_by_number_both_ways_and_by_keyboard(opened):
    heading(opened.page, "infer ms").click()
    assert opened.names() == ["fast.onnx", "middle.onnx", "slow.onnx"]
    heading(opened.page, "infer ms").press("Enter")
    assert opened.names() == ["slow.onnx", "middle.onnx", "fast.onnx"]
    assert opened.page.locator("th[aria-sort=descending]").inner_text().startswith("infer ms")
    heading(opened.page, "engine").click()
    assert opened.names() == ["fast.onnx", "middle.onnx", "slow.onnx"]


def test_rows_hide_by_filter_and_leave_the_charts_by_checkbox(opened):
    page = opened.page
    points = "document.querySelectorAll('#pareto .scatterlayer .point').length"
    assert page.evaluate(points) == 3
    page.fill("#filter", "FAST")
    assert opened.names() == ["fast.onnx"]
    assert page.evaluate(points) == 1
    page.click("#all")
    page.uncheck("tr:has-text('slow.onnx') input")
    assert opened.names() == list(ENGINES)
    assert page.evaluate(points) == 2
    assert page.locator("#count").inner_text() == "3 of 3 rows, 2 in the charts"


def test_the_divider_moves_by_keyboard(opened):
    slider = opened.page.locator("#slider")
    assert float(slider.evaluate("s => s.value")) == 50
    slider.focus()
    opened.page.keyboard.down("ArrowRight")  # it moves while the key is held
    opened.until("document.getElementById('slider').value > 50")
    opened.page.keyboard.up("ArrowRight")


def canvas_pixels(page):
    flat = page.evaluate(
        "() => { const c = document.getElementById('difference');"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    return np.array(flat, np.uint8).reshape(48, 64, 4)[..., :3]


def test_differences_are_those_of_the_pixels(opened, tmp_path):
    before, sharp, torch = save_pictures(tmp_path / "again", ENGINES)  # of dog, same seed
    page = opened.page
    page.select_option("#picture", label="dog")
    page.select_option("#left", "before")
    page.select_option("#right", "sharp")
    page.select_option("#view", "difference")
    page.locator("#gain").fill("1")
    wanted = np.abs(before.astype(int) - sharp)
    page.wait_for_timeout(300)
    assert np.array_equal(canvas_pixels(page), wanted)
    # 2 levels from PyTorch everywhere, amplified 8 times.
    page.select_option("#right", "-fast.onnx")
    page.select_option("#view", "drift")
    page.locator("#gain").fill("8")
    page.wait_for_timeout(300)
    assert (canvas_pixels(page) == 16).all()
    assert torch.shape == (48, 64, 3)


def test_one_to_one_shows_one_pixel_a_pixel(opened):
    page = opened.page
    width = "document.getElementById('left-picture').getBoundingClientRect().width"
    page.select_option("#zoom", "1")
    opened.until(f"{width} === 64")
    page.select_option("#zoom", "4")
    opened.until(f"{width} === 256")


def test_dark_mode_turns_the_charts_dark_too(opened):
    colour = "getComputedStyle(document.querySelector('#pareto .main-svg')).backgroundColor"
    light = opened.page.evaluate(colour)
    opened.page.click("#theme")
    assert opened.page.get_attribute("#theme", "aria-pressed") == "true"
    assert light == "rgb(255, 255, 255)"
    assert opened.page.evaluate(colour) == "rgb(21, 24, 28)"


def test_several_results_show_their_changes_and_scaling(chromium, tmp_path):
    sizes = ((64, 96), (128, 192))
    old = source("old", *(row("a.onnx", (10.0,) * 3, size=size) for size in sizes), sizes=sizes)
    new = source("new", *(row("a.onnx", (20.0,) * 3, size=size) for size in sizes), sizes=sizes)
    path = tmp_path / "report.html"
    write_html(path, [old, new], comparison=compare([old, new], Limits(0.05)))
    found = Opened(chromium, path)
    assert found.page.locator("li.regressed").count() == 2
    assert found.page.locator("#scaling").is_visible()
    assert (
        found.page.evaluate("document.querySelectorAll('#scaling .scatterlayer .js-line').length")
        == 2
    )
    assert not found.page.locator("#gallery").count()
    assert (found.complaints, found.outside()) == ([], [])
    found.page.close()


def test_a_compression_is_drawn_with_its_budget(chromium, tmp_path):
    run = read_run(tmp_path / "compress.json", COMPRESS)
    path = tmp_path / "report.html"
    write_html(path, [source("r", row("a.onnx", (10.0,) * 3))], runs=Runs([], [run]))
    found = Opened(chromium, path)
    chart = "document.getElementById('compression-0')"
    found.until(f"{chart}.data !== undefined")
    assert found.page.evaluate(f"{chart}.data.map((each) => each.x[0])") == [65.0, 30.5, 44.0, 30.5]
    assert found.page.evaluate(f"{chart}.layout.shapes[0].x0") == 31.0
    assert found.page.locator("#compression-0").is_visible()
    assert (found.complaints, found.outside()) == ([], [])
    found.page.close()


@pytest.mark.slow
def test_the_page_of_the_demo_opens(chromium, tmp_path):
    """`make demo`, with its outputs put aside: sorts, slides, and asks nothing of any network."""
    root = Path(__file__).parents[4]
    demo = next(
        rule for rule in (root / "Makefile").read_text().split("\n\n") if rule.startswith("demo:")
    )
    commands = [line.strip() for line in demo.splitlines() if "$(BIN)/deblur" in line]
    assert len(commands) == 3
    values = {
        "$(PHOTO)": str(root / "benchmarks/samples/blurry/mountains.png"),
        "$(MODEL)": "out/mobilenet_dsc_onnx-fp32_736x1280.onnx",
    }
    for command in commands:
        words = [values.get(word, word) for word in shlex.split(command)]
        words[0] = words[0].replace("$(BIN)", str(Path(sys.executable).parent))
        subprocess.run(words, cwd=tmp_path, check=True)
    found = Opened(chromium, tmp_path / "out/report/report.html")
    model, reference = "mobilenet_dsc_onnx-fp32_736x1280.onnx", "torch-fp32 (reference)"
    assert found.names() == [reference, model]
    heading(found.page, "MiB").first.click()  # without the norms, the model is the smaller one
    assert found.names() == [model, reference]
    found.page.locator("#slider").focus()
    found.page.keyboard.down("ArrowRight")
    found.until("document.getElementById('slider').value > 50")
    assert (found.complaints, found.outside()) == ([], [])
    found.page.close()
