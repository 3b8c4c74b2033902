"""What is answered for a picture: the bytes that `deblur-run` writes, for every format."""

import io

import numpy as np
import pytest
from edgedeblur.runtimes import cli
from PIL import Image

from tests.runtimes.cli_run.support import pixels
from tests.runtimes.pictures.support import ICC, exif_block
from tests.runtimes.service.support import deblur, decoded, encoded, opener, refused

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def run_command(monkeypatch, folder, data, kind, *options):
    """What `deblur-run` writes for the same picture."""
    monkeypatch.setattr(cli, "open_runner", opener())
    source = folder / f"in.{ENDINGS[kind]}"
    source.write_bytes(data)
    (folder / "out").mkdir(exist_ok=True)
    assert cli.main(["model.onnx", str(source), "-o", f"{folder / 'out'}/", *options]) == 0
    (written,) = (folder / "out").iterdir()
    return written.read_bytes()


@pytest.mark.parametrize("kind", TYPES)
def test_the_bytes_are_those_of_deblur_run(port, monkeypatch, tmp_path, kind):
    data = encoded(kind, 70, 90, exif=exif_block(6, 90, 70), icc_profile=ICC)
    status, headers, body = deblur(port, data)
    assert (status, headers["content-type"]) == (200, TYPES[kind])
    assert body == run_command(monkeypatch, tmp_path, data, kind)
    image = Image.open(io.BytesIO(body))
    assert image.size == (70, 90)  # turned upright
    assert image.info["icc_profile"] == ICC
    assert image.getexif()[271] == "ACME"
    assert image.getexif()[274] == 1


def test_pixels_are_deblurred(port):
    """The network of the test inverts, so the answer to p is 255 - p."""
    np.testing.assert_array_equal(decoded(deblur(port, encoded())[2]), 255 - pixels())


@pytest.mark.parametrize(("word", "kind"), [("jpeg", "JPEG"), ("jpg", "JPEG"), ("PNG", "PNG"),
                                            ("webp", "WEBP")])  # fmt: skip
def test_the_format_asked_for(port, monkeypatch, tmp_path, word, kind):
    data = encoded("PNG", exif=exif_block(), icc_profile=ICC)
    status, headers, body = deblur(port, data, f"?format={word}&quality=70")
    assert (status, headers["content-type"]) == (200, TYPES[kind])
    options = ("--format", ENDINGS[kind], "--quality", "70")
    assert body == run_command(monkeypatch, tmp_path, data, "PNG", *options)


def test_sixteen_bits_and_transparency(port, monkeypatch, tmp_path):
    grey = io.BytesIO()
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257).save(grey, "PNG")
    clear = io.BytesIO()
    Image.fromarray(np.dstack([pixels(), pixels()[..., 0]])).save(clear, "PNG")
    for number, data in enumerate((grey.getvalue(), clear.getvalue())):
        (folder := tmp_path / str(number)).mkdir()
        assert deblur(port, data)[2] == run_command(monkeypatch, folder, data, "PNG")
    status, detail = refused(deblur(port, clear.getvalue(), "?format=jpeg"))
    assert (status, "cannot hold transparency" in detail) == (422, True)


def test_a_body_in_pieces_is_put_together(port):
    data = encoded(height=200, width=300)
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    status, _, body = deblur(port, pieces)  # http.client sends an iterator in chunks
    assert status == 200
    np.testing.assert_array_equal(decoded(body), 255 - pixels(200, 300))


@pytest.mark.parametrize("declared", ["image/jpeg", "image/png", "application/octet-stream",
                                      "IMAGE/WEBP; charset=x", ""])  # fmt: skip
def test_the_bytes_decide_the_format(port, declared):
    status, headers, _ = deblur(port, encoded("PNG"), Content_Type=declared)
    assert (status, headers["content-type"]) == (200, "image/png")
