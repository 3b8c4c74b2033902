"""Bad requests: the right status, nothing of the machine in the answer, and alive afterwards."""

import io
import json
import struct
import threading
import zlib

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.metadata import PNG_SIGNATURE, png_chunk
from edgedeblur.runtimes.service import answer
from edgedeblur.runtimes.service.answer import MOST_SCANS
from PIL import Image

from tests.runtimes.service.support import ask, deblur, encoded, raw, refused


def png_of(width, height, body=b""):
    """A PNG whose head tells a size and whose pixels are ``body``."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )  # fmt: skip


def animation(kind):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255)]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:], duration=100)
    return stream.getvalue()


def gif():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "GIF")
    return stream.getvalue()


BAD = {
    "empty": (b"", 400, "empty"),
    "text": (b"hello", 415, "not a JPEG, PNG or WebP"),
    "gif": (gif(), 415, "not a JPEG, PNG or WebP"),
    "tiff": (encoded("TIFF"), 415, "not a JPEG, PNG or WebP"),
    "too many bytes": (b"\xff\xd8\xff" + bytes(1 << 20), 413, "more than 1 MiB"),
    "too many pixels": (encoded(height=317, width=317), 413, "more than 0.1 megapixels"),
    "bomb": (png_of(60000, 60000, zlib.compress(bytes(1 << 20))), 413, "megapixels"),
    "bomb of lines": (png_of(1, 2**31 - 1), 413, "megapixels"),
    "cut off": (encoded("JPEG")[:-200], 422, "damaged or cut off"),
    "cut off png": (encoded("PNG")[:-200], 422, "damaged or cut off"),
    "only a signature": (PNG_SIGNATURE, 422, "damaged or cut off"),
    "webp without pixels": (b"RIFF\x04\0\0\0WEBP", 422, "damaged or cut off"),
    "animated png": (animation("PNG"), 422, "2 frames"),
    "animated webp": (animation("WEBP"), 422, "2 frames"),
    "endless scans": (encoded("JPEG") + b"\xff\xda" * (MOST_SCANS + 1), 422, "scans"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies(port, name):
    body, status, words = BAD[name]
    told = refused(deblur(port, body))
    assert told[0] == status
    assert words in told[1]
    assert deblur(port, encoded())[0] == 200


def test_a_picture_at_the_limits_is_answered(port):
    assert deblur(port, encoded("PNG", 250, 400))[0] == 200  # 100,000 pixels, as the limit is


@pytest.mark.parametrize(("query", "words"), [
    ("?format=tiff", "format must be one of"), ("?format=", "format must be one of"),
    ("?quality=0", "quality"), ("?quality=101", "quality"), ("?quality=x", "quality"),
    ("?quality=%D9%A1", "quality"), ("?path=/etc/passwd", "unknown parameter"),
])  # fmt: skip
def test_wrong_parameters(port, query, words):
    status, detail = refused(deblur(port, encoded(), query))
    assert status == 422
    assert words in detail
    assert "passwd" not in detail


@pytest.mark.parametrize("declared", [
    "text/plain", "image/gif", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "x" * 2000,
])  # fmt: skip
def test_wrong_content_types(port, declared):
    status, detail = refused(deblur(port, encoded(), Content_Type=declared))
    assert status == 415
    assert "Content-Type must be" in detail


def test_a_compressed_body(port):
    assert refused(deblur(port, encoded(), Content_Encoding="gzip"))[0] == 415


def test_a_long_body_is_refused_by_its_head_and_the_refusal_arrives(port):
    """More than the limit of 1 MiB is sent, and the client still gets the answer."""
    body = bytes(10 << 20)
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    for sent in (body[: 2 << 20], pieces):  # with a length, and in chunks
        assert refused(deblur(port, sent))[0] == 413


def test_wrong_lengths(port):
    for value in (b"-1", b"x", b"1e3", b"99999999999999999999"):
        head = b"POST /v1/deblur HTTP/1.1\r\nHost: x\r\nContent-Length: " + value + b"\r\n\r\n"
        status = raw(port, head).split()[1]
        assert status in (b"400", b"413"), value


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/v1/deblur", 405), ("DELETE", "/v1/model", 405), ("GET", "/v1/", 404),
    ("POST", "/", 405), ("GET", "/../../etc/passwd", 404), ("GET", "/page.css/../app.py", 404),
    ("GET", "/%2e%2e/settings.py", 404), ("GET", "/page/index.html", 404),
])  # fmt: skip
def test_paths_and_methods_that_do_not_exist(port, method, path, status):
    assert refused(ask(port, method, path))[0] == status


def test_headers_name_no_software(port):
    for _, headers, _ in (ask(port, path="/healthz"), deblur(port, encoded()), deblur(port, b"x")):
        assert set(headers) <= {
            "date", "content-type", "content-length", "connection", "cache-control",
            "x-content-type-options",
        }  # fmt: skip


def test_a_fault_of_ours_shows_nothing(port, monkeypatch, capfd):
    def fails(*_, **__):
        raise KeyError("/home/somebody/secret.py")

    monkeypatch.setattr(answer, "deblur_encoded", fails)
    status, detail = refused(deblur(port, encoded()))
    assert (status, detail) == (500, "the service failed; its log says why")
    monkeypatch.undo()
    assert ask(port, path="/healthz")[0] == 200
    assert "/home/somebody/secret.py" in capfd.readouterr().err  # the log has it


def test_the_manifest_has_no_folders_and_no_digest(port):
    status, _, body = ask(port, path="/v1/model")
    assert status == 200
    assert json.loads(body) == {
        "target": "onnx-fp32",
        "sha256": "2" * 64,
        "checkpoint": {"source": "best.safetensors", "sha256": "0" * 64},
    }


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_many_bad_bodies(port, count):
    """Four clients on connections that are kept, as fast as they can; then a good picture."""
    kinds = [b"hello", PNG_SIGNATURE, encoded("JPEG")[:-200], b"\xff\xd8\xff\xe0" + bytes(50)]
    rng = np.random.default_rng(0)
    statuses = []

    def client(each):
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(each):
            body = bytearray(kinds[number % len(kinds)])
            body[-1] = int(rng.integers(256))
            connection.request("POST", "/v1/deblur", bytes(body))
            told = connection.getresponse()
            assert json.loads(told.read())["status"] == told.status
            statuses.append(told.status)
        connection.close()

    clients = [threading.Thread(target=client, args=(count // 4,)) for _ in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(120)
    assert len(statuses) == count
    assert set(statuses) <= {415, 422, 429}
    assert {415, 422} <= set(statuses)
    assert deblur(port, encoded())[0] == 200
