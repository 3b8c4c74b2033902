"""A served site with small models, opened in headless Chromium."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
from edgedeblur.export.web.serve import SiteHandler
from edgedeblur.runtimes import open_runner, read_picture
from PIL import Image

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "benchmarks" / "samples" / "blurry"
CAT, DOGS = SAMPLES / "cat.png", SAMPLES / "dogs.png"
SIZE = "64x96"
FP32, INT8 = (f"mobilenet_dsc_onnx-{precision}_{SIZE}.onnx" for precision in ("fp32", "int8"))
TFLITE_FP32, TFLITE_FP16, TFLITE_INT8 = (
    f"mobilenet_dsc_tflite-{precision}_{SIZE}.tflite" for precision in ("fp32", "fp16", "int8")
)
TARGETS = ("onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-fp16", "tflite-int8")


def export_site(folder: Path, size: str = SIZE, targets=TARGETS) -> Path:
    """Models, and the site around them, as the command writes them."""
    wanted = [word for target in targets for word in ("--target", target)]
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "deblur-export", "--backbone", "mobilenet_dsc", *wanted,
         "--size", size, "--output", folder / "models", "--web", folder / "site", "--json",
         *(("--calib-count", "8") if "onnx-int8" in targets else ())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


class Served:
    """A folder on a free port of this machine; ``isolated`` pages get threads."""

    def __init__(self, folder: Path, *, isolated: bool = True) -> None:
        self.sent = 0  # bytes of bodies
        owner = self

        class Handler(SiteHandler):
            def log_message(self, *words):
                pass

            def copyfile(self, source, outputfile):
                data = source.read()
                owner.sent += len(data)
                with contextlib.suppress(BrokenPipeError):  # the page was left while loading
                    outputfile.write(data)

        Handler.isolated = isolated
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def launch(driver, *flags: str):
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "these tests need Chromium: apt-get install chromium"
    return driver.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])


class Opened:
    """The page, with its console's complaints and its requests."""

    def __init__(self, browser, url: str, **options) -> None:
        self.page = browser.new_page(viewport={"width": 1100, "height": 900}, **options)
        self.complaints, self.requests = [], []
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def until(self, condition, seconds: float = 60):
        """Poll; the page's own policy forbids Playwright's way of waiting for an expression."""
        for _ in range(int(seconds * 20)):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true; status {self.status!r}, problem {self.problem!r}")

    @property
    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    @property
    def problem(self) -> str:
        shown = self.page.locator("#problem")
        return shown.inner_text() if shown.is_visible() else ""

    def ready(self, seconds: float = 60) -> str:
        self.until(lambda: self.status.startswith("Ready") or self.problem, seconds)
        return self.status

    def choose(self, backend: str | None = None, model: str | None = None) -> str:
        for box, value in (("#backend", backend), ("#model", model)):
            if value is not None:
                self.page.locator("#status").evaluate("line => line.textContent = ''")
                self.page.select_option(box, value)
                self.ready()
        return self.status

    def states(self) -> list[str]:
        return [
            item.get_attribute("data-state") for item in self.page.locator("#pictures li").all()
        ]

    def drop(self, *files: Path) -> None:
        self.page.set_input_files("#files", files)

    def finished(self, seconds: float = 60) -> list[str]:
        ends = {"done", "failed", "cancelled"}
        self.until(lambda: bool(self.states()) and set(self.states()) <= ends, seconds)
        return self.states()

    def canvas(self, picture: str = "after") -> np.ndarray:
        """The shown picture's pixels on a canvas, uint8 (H, W, 4)."""
        height, width, text = self.page.evaluate(
            """async (id) => {
              const picture = document.getElementById(id);
              await picture.decode();
              const canvas = document.createElement("canvas");
              [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
              const context = canvas.getContext("2d");
              context.drawImage(picture, 0, 0);
              const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
              let text = "";
              for (let at = 0; at < data.length; at += 32768)
                text += String.fromCharCode(...data.subarray(at, at + 32768));
              return [canvas.height, canvas.width, btoa(text)];
            }""",
            picture,
        )
        data = np.frombuffer(base64.b64decode(text), np.uint8)
        return data.reshape(height, width, 4)

    def download(self, link: str, folder: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.locator(link).first.click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def outside(self, url: str) -> list[str]:
        return [each for each in self.requests if not each.startswith((url, "blob:", "data:"))]


def break_site(site: Path, folder: Path, *missing: str) -> Path:
    """A copy of the site without some of its files."""
    shutil.copytree(site, folder)
    for name in missing:
        (folder / name).unlink()
    return folder


def photo():
    return Image.fromarray(read_picture(CAT).pixels)


def by_python(site, model, picture):
    """Deblurred by the artifact that the site serves, in Python's runtime and with its tiles."""
    with open_runner(site / "models" / model, threads=2) as runner:
        return runner.deblur(read_picture(picture).pixels)
