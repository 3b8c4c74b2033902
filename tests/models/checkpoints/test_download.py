from __future__ import annotations

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import edgedeblur.models.checkpoints.sources as sources
import pytest
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.download import download, looks_like_web_page
from edgedeblur.models.checkpoints.sources import RELEASED, ReleasedFile, resolve_source

CONTENT = bytes(range(256)) * 800  # 204,800 bytes
SHA384 = hashlib.sha384(CONTENT).hexdigest()


# What servers send that do not have the file, or not all of it: (body, arguments of `_send`).
WRONG = {
    "html": lambda _: (b"<html>sign in</html>", {"kind": "text/html; charset=utf-8"}),
    "disguised": lambda _: (b"\r\n <!DOCTYPE html><p>sign in</p>", {"declared": 0}),
    "endless": lambda content: (b"e" * (len(content) + 1), {"declared": 0}),
    "garbage": lambda content: (b"g" * 70_000, {"declared": len(content)}),  # and breaks off
    "shifted": lambda content: (content[1000:], {"start": 1000}),
    "corrupt": lambda content: (content[:-1] + b"x", {}),
    "short": lambda content: (content[: len(content) // 2], {}),
}


class _Handler(BaseHTTPRequestHandler):
    """The path's last word says how it misbehaves."""

    def do_GET(self):
        mode = self.path.rpartition("/")[2]
        self.server.seen.append((mode, self.headers.get("Range")))
        content = self.server.content
        if mode == "missing":
            return self.send_error(404)
        if mode in WRONG:
            body, options = WRONG[mode](content)
            return self._send(body, **options)
        start = 0
        if mode != "norange" and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if mode == "truncate" and start == 0:
            return self._send(content[:70_000], declared=len(content))
        if mode == "slow":
            return self._send(content[start:], start=start, pause_s=0.02)
        if mode == "stall":
            return self._send(content[start:], start=start, pause_s=5.0)
        return self._send(content[start:], start=start)

    def _send(self, body, *, kind="application/octet-stream", declared=None, start=0, pause_s=0.0):
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", kind)
        if declared != 0:  # 0: the server does not tell; the connection's end is the body's
            self.send_header("Content-Length", str(declared or len(body)))
        if start:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        for offset in range(0, len(body), 32_768):
            try:
                self.wfile.write(body[offset : offset + 32_768])
            except OSError:
                return
            time.sleep(pause_s)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.content, server.seen = CONTENT, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.root = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


def _get(server, target, *modes, timeout_s=3.0, progress=None):
    addresses = [f"{server.root}/{mode}" for mode in modes]
    download(addresses, target, len(CONTENT), SHA384, timeout_s=timeout_s, progress=progress)


@pytest.mark.parametrize("mode", ["good", "slow", "norange"])
def test_download_arrives_whole(server, tmp_path, mode):
    target, steps = tmp_path / "cache" / "file.bin", []
    _get(server, target, mode, progress=lambda done, total: steps.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in target.parent.iterdir()] == ["file.bin"]


def test_broken_download_continues_where_it_stopped(server, tmp_path):
    target = tmp_path / "file.bin"
    with pytest.raises(OSError, match="broke off after 70000 of 204800 bytes"):
        _get(server, target, "truncate")
    assert not target.exists()
    _get(server, target, "truncate")
    assert target.read_bytes() == CONTENT
    assert server.seen[-1] == ("truncate", "bytes=70000-")


def test_server_without_ranges_starts_over(server, tmp_path):
    target = tmp_path / "file.bin"
    target.with_name("file.bin.part").write_bytes(b"y" * 1000)
    _get(server, target, "norange")
    assert target.read_bytes() == CONTENT


def test_stalling_server_times_out(server, tmp_path):
    with pytest.raises(OSError, match="timed out"):
        _get(server, tmp_path / "file.bin", "stall", timeout_s=0.5)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("html", "answered with a web page"),
        ("disguised", "answered with a web page"),
        ("endless", "sent more than the expected 204800 bytes"),
        ("missing", "Not Found"),
        ("corrupt", "SHA-384 is not the pinned one"),
        ("short", "offers 102400 bytes, expected 204800"),
    ],
)
def test_wrong_answers_are_refused_and_leave_no_file(server, tmp_path, mode, message):
    target = tmp_path / "file.bin"
    with pytest.raises(OSError, match=message):
        _get(server, target, mode)
    assert not target.exists()
    _get(server, target, "good")  # and do not spoil the next try
    assert target.read_bytes() == CONTENT


def test_second_address_is_used_when_the_first_fails(server, tmp_path):
    _get(server, tmp_path / "file.bin", "html", "corrupt", "good")
    assert [mode for mode, _ in server.seen] == ["html", "corrupt", "good"]


@pytest.mark.parametrize("length", [1000, len(CONTENT)])
def test_wrong_leftover_is_replaced_by_asking_the_same_address_again(server, tmp_path, length):
    target = tmp_path / "file.bin"
    target.with_name("file.bin.part").write_bytes(b"z" * length)
    _get(server, target, "good")
    assert target.read_bytes() == CONTENT
    ranged = [("good", "bytes=1000-")] if length == 1000 else []
    assert server.seen == [*ranged, ("good", None)]


def test_wrong_leftover_is_blamed_on_the_address_only_once(server, tmp_path):
    target = tmp_path / "file.bin"
    target.with_name("file.bin.part").write_bytes(b"z" * len(CONTENT))
    with pytest.raises(OSError, match="SHA-384 is not the pinned one"):
        _get(server, target, "corrupt")
    assert server.seen == [("corrupt", None)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["html", "disguised", "endless", "corrupt", "short"])
def test_nothing_continues_what_is_known_to_be_wrong(server, tmp_path, mode):
    _get(server, tmp_path / "file.bin", mode, "good")
    assert server.seen == [(mode, None), ("good", None)]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_garbage_that_broke_off_costs_one_more_request(server, tmp_path):
    _get(server, tmp_path / "file.bin", "garbage", "good")
    assert server.seen == [("garbage", None), ("good", "bytes=70000-"), ("good", None)]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_web_page_left_by_an_earlier_try_is_not_continued(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"<html>sign in</html>")
    _get(server, tmp_path / "file.bin", "good")
    assert server.seen == [("good", None)]


def test_another_range_than_the_asked_one_is_refused(server, tmp_path):
    part = tmp_path / "file.bin.part"
    part.write_bytes(CONTENT[:2000])
    with pytest.raises(OSError, match="sent another part than the one from byte 2000 on"):
        _get(server, tmp_path / "file.bin", "shifted")
    assert part.read_bytes() == CONTENT[:2000]


@pytest.mark.parametrize(
    "start",
    [b"<html>", b"\xef\xbb\xbf<!doctype HTML>", b" \n<?xml version='1.0'?><Error>", b"<HEAD>"],
)
def test_web_pages_are_known_by_their_first_bytes(start):
    assert looks_like_web_page(start)


@pytest.mark.parametrize("start", [b"", b"PK\x03\x04<html>", b"{}", b"<", b"a <html>"])
def test_other_bytes_are_no_web_page(start):
    assert not looks_like_web_page(start)


def test_present_file_is_checked_and_not_fetched_again(server, tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(CONTENT)
    _get(server, target, "good")
    assert server.seen == []
    target.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ValueError, match="not the pinned file"):
        _get(server, target, "good")


def test_released_comes_through_the_cache(server, tmp_path, monkeypatch, released_h5):
    server.content = released_h5.read_bytes()
    pinned = ReleasedFile(
        name="fpn_mobilenet.h5",
        addresses=(f"{server.root}/good",),
        size_bytes=len(server.content),
        sha384=hashlib.sha384(server.content).hexdigest(),
    )
    monkeypatch.setattr(sources, "RELEASED", pinned)
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path / "cache"))
    assert load_checkpoint("released").source == "released"
    assert resolve_source("released") == tmp_path / "cache" / "fpn_mobilenet.h5"
    assert len(server.seen) == 1


def test_pinned_facts_of_the_released_file():
    assert RELEASED.size_bytes == 13_505_344
    assert len(RELEASED.sha384) == 96
    assert RELEASED.sha384.startswith("93bd1ef8e8d6cc19")
    assert all(address.startswith("https://") for address in RELEASED.addresses)
