import base64
import io
import json
import re

import numpy as np
import pytest
from edgedeblur.benchmarks.report.html import document
from edgedeblur.benchmarks.report.html.document import html_text, write_html
from edgedeblur.benchmarks.report.html.gallery import read_gallery
from edgedeblur.runtimes.optional import MissingDependencyError
from PIL import Image

from .support import row, save_pictures, source

ENGINES = ("a.onnx", "b.onnx")


def decoded(address):
    kind, text = address.split(",", 1)
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_full_quality_holds_the_very_pixels(tmp_path):
    before, sharp, torch = save_pictures(tmp_path, ENGINES)
    gallery = read_gallery(tmp_path, ENGINES, full=True)
    assert [picture["name"] for picture in gallery.pictures] == ["cat", "dog"]
    dog = gallery.pictures[1]
    assert np.array_equal(decoded(dog["before"]), before)
    assert np.array_equal(decoded(dog["sharp"]), sharp)
    assert np.array_equal(decoded(dog["after"]["b.onnx"]), torch + 2)
    assert (decoded(dog["drift"]["a.onnx"]) == 2 * dog["scale"]).all()


def test_pictures_keep_to_the_budget_by_quality_then_by_number(tmp_path):
    save_pictures(tmp_path, ENGINES)

    def size(gallery):
        texts = [
            address.partition(",")[2]
            for p in gallery.pictures
            for address in (p["before"], p["sharp"], *p["after"].values(), *p["drift"].values())
        ]
        return sum(map(len, texts))

    best = read_gallery(tmp_path, ENGINES, full=False)
    assert "quality 95" in best.remark
    smaller = read_gallery(tmp_path, ENGINES, full=False, budget=int(0.7 * size(best)))
    assert len(smaller.pictures) == 2
    assert "quality 95" not in smaller.remark
    assert size(smaller) <= 0.7 * size(best)
    one = read_gallery(tmp_path, ENGINES, full=False, budget=int(0.35 * size(best)))
    assert len(one.pictures) == 1
    assert "1 more did not fit" in one.remark
    assert size(one) <= 0.35 * size(best)
    none = read_gallery(tmp_path, ENGINES, full=False, budget=10)
    assert none.pictures == ()
    assert "Not even one" in none.remark


def test_without_pytorchs_output_there_is_no_drift(tmp_path):
    save_pictures(tmp_path, ENGINES, reference=False)
    gallery = read_gallery(tmp_path, ENGINES, full=True)
    assert gallery.pictures[0]["drift"] == {}
    assert read_gallery(None, ENGINES, full=True).pictures == ()


def test_names_cannot_break_out_of_the_page():
    evil = '</script><script>alert(1)</script><img src="x">'
    page = html_text([source(evil, row(evil))])
    assert "<script>alert" not in page
    assert data_of(page)["rows"][0]["label"] == evil


def test_the_page_names_nothing_outside_itself():
    page = html_text([source("r", row("a.onnx"))])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'")
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?!data:)', page)


def test_a_page_needs_its_packages(tmp_path, monkeypatch):
    def missing(name, *, extra):
        raise MissingDependencyError(f"{name}: pip install 'edgedeblur[{extra}]'")

    monkeypatch.setattr(document, "require", missing)
    with pytest.raises(MissingDependencyError, match=r"jinja2.*edgedeblur\[bench\]"):
        write_html(tmp_path / "r.html", [source("r", row("a"))])
    assert list(tmp_path.iterdir()) == []


def test_errors_are_on_the_page():
    import dataclasses

    failed = dataclasses.replace(row("a.onnx"), error="a.onnx: broken <file>")
    assert "a.onnx: broken &lt;file&gt;" in html_text([source("r", failed, row("b.onnx"))])
