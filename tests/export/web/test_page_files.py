"""The page in headless Chromium: what goes in, what comes out, and what it says when it cannot."""

import numpy as np
import pytest
from edgedeblur.runtimes import read_picture
from edgedeblur.runtimes.compare import psnr_db
from PIL import Image

from .support import CAT, FP32, Opened, Served, break_site, photo

pytestmark = pytest.mark.web


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
