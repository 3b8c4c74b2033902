"""Too many pictures, slow clients, clients that leave, and the end."""

import contextlib
import re
import socket
import time

import pytest

from tests.runtimes.service.support import (
    HOST,
    Gated,
    InBackground,
    ask,
    deblur,
    encoded,
    raw,
    refused,
    until,
)


def counted(port):
    """Every sample of /metrics."""
    text = ask(port, path="/metrics")[2].decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_what_does_not_fit_the_queue_is_refused_and_the_rest_is_answered(gated):
    """One is worked on and two wait; the fourth gets 429 at once, and no accepted one is lost."""
    with gated(at_once=1, queue=2) as running:
        port, service = running.port, running.service
        accepted = [InBackground(deblur, port, encoded(seed=n)) for n in range(3)]
        until(lambda: service.inside == 3)
        status, headers, _ = answer = deblur(port, encoded())
        assert refused(answer) == (429, "too many pictures are waiting")
        assert 1 <= int(headers["retry-after"]) <= 60
        assert status == 429
        assert ask(port, path="/healthz")[0] == 200  # it still answers everything else
        Gated.gate.set()
        assert [one.result()[0] for one in accepted] == [200] * 3
        until(lambda: service.inside == 0)
        assert deblur(port, encoded())[0] == 200
        seen = counted(port)
        assert seen['deblur_requests_total{status="200"}'] == 4
        assert seen['deblur_requests_total{status="429"}'] == 1
        assert seen["deblur_request_seconds_count"] == 4
        assert seen["deblur_pixels_total"] == 4 * 20 * 30
        assert seen["deblur_pictures_inside"] == 0


def test_too_many_uploads_are_refused(gated):
    with gated(uploads=1) as running:
        head = b"POST /v1/deblur HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        with socket.create_connection((HOST, running.port)) as slow:
            slow.sendall(head)
            until(lambda: running.service.uploads == 1)
            assert refused(deblur(running.port, encoded()))[0] == 429
        until(lambda: running.service.uploads == 0)
        Gated.gate.set()
        assert deblur(running.port, encoded())[0] == 200


def test_a_picture_that_takes_too_long(gated):
    with gated(answer_s=0.3, at_once=1) as running:
        first = InBackground(deblur, running.port, encoded())
        until(lambda: Gated.entered == 1)
        second = InBackground(deblur, running.port, encoded())
        assert refused(first.result())[0] == 504
        assert refused(second.result())[0] == 504
        Gated.gate.set()
        until(lambda: deblur(running.port, encoded())[0] == 200)
        # The second was dropped unseen: the first, and those that `until` sent, were inferred.
        assert Gated.entered == 2


def test_a_client_that_leaves_makes_room(gated):
    with gated(at_once=1, queue=1) as running:
        port, service = running.port, running.service
        body = encoded()
        head = f"POST /v1/deblur HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        leaving = socket.create_connection((HOST, port))
        leaving.sendall(head.encode() + body)
        until(lambda: service.inside == 1)
        leaving.close()
        until(lambda: service.inside == 0)
        Gated.gate.set()
        assert deblur(port, body)[0] == 200
        assert counted(port)['deblur_requests_total{status="499"}'] == 1


def test_a_body_that_comes_too_slowly(port):
    begin = time.monotonic()
    head = b"POST /v1/deblur HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n12345"
    received = raw(port, head)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"within 1 seconds" in received
    assert time.monotonic() - begin < 10
    assert deblur(port, encoded())[0] == 200


@pytest.mark.parametrize(
    "head", [b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"]
)
def test_a_head_that_never_ends(port, head):
    begin = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        assert raw(port, head) == b""
    assert 0.5 < time.monotonic() - begin < 10


def test_a_head_that_never_ends_on_a_connection_that_was_used(port):
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65536) == b""


def test_a_client_that_does_not_read(service):
    """The answers of pipelined requests fill all buffers; then the connection is ended."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((HOST, service.port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # and no TimeoutError
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000)
    assert deblur(service.port, encoded())[0] == 200


def test_garbage_instead_of_http(port):
    for data in (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200), b"\0" * 20_000,
                 b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
        try:
            received = raw(port, data)
        except (ConnectionResetError, BrokenPipeError):
            received = b""
        assert not received or received.startswith(b"HTTP/1.1 4")
        assert not re.search(rb"uvicorn|Traceback|\.py", received)
    assert deblur(port, encoded())[0] == 200


def test_the_end_answers_what_was_accepted(gated):
    """/readyz turns first; pictures are still taken for the delay; then nothing is lost."""
    with gated(at_once=1, queue=8) as running:
        port, service = running.port, running.service
        assert ask(port, path="/readyz")[0] == 200
        accepted = [InBackground(deblur, port, encoded(seed=n)) for n in range(4)]
        until(lambda: service.inside == 4)
        service.draining = True
        assert refused(ask(port, path="/readyz"))[0] == 503
        status, headers, _ = ask(port, path="/healthz")
        assert (status, headers["connection"]) == (200, "close")
        accepted.append(InBackground(deblur, port, encoded(seed=9)))
        until(lambda: service.inside == 5)
        until(lambda: not takes_connections(port))
        assert running.thread.is_alive()
        Gated.gate.set()
        assert [one.result()[0] for one in accepted] == [200] * 5
        running.thread.join(10)
        assert not running.thread.is_alive()


def takes_connections(port):
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
