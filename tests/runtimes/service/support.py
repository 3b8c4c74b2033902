"""A service in a thread, over a network that inverts, and clients that behave well or badly."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
from edgedeblur.runtimes.service import http_server
from edgedeblur.runtimes.service.app import Service, create_app
from edgedeblur.runtimes.service.settings import Limits, Settings
from PIL import Image

from tests.runtimes.cli_run.support import Inverter, manifest, pixels

HOST = "127.0.0.1"
START_S = 240
# Ray's own start may fail on a machine that is busy; that is its `ConnectionError`, tried again.
TRIES = 3


class Gated(Inverter):
    """Inverts once ``Gated.gate`` is set, so that a test decides how long a picture takes."""

    gate = threading.Event()
    entered = 0

    def _infer(self, image):
        type(self).entered += 1
        assert self.gate.wait(20)
        return -image


def opener(kind=Inverter, norm="frozen"):
    """A stand-in of `open_runner` whose manifest can be shown, with a path in it."""

    def open_runner(path, *, threads, device):
        described = manifest(norm)
        described.to_dict = lambda: {
            "target": "onnx-fp32",
            "sha256": "2" * 64,
            "checkpoint": {"source": "/home/somebody/secret/best.safetensors", "sha256": "0" * 64},
            "digest": "1" * 64,
        }
        return kind(path, described, threads=threads, device=device)

    return open_runner


def settings(**limits):
    at_once = limits.pop("at_once", 2)
    return Settings("model.onnx", at_once=at_once, limits=Limits(**limits))


@contextlib.contextmanager
def served(backend, chosen):
    """Serve in a thread; yields the service, its port, and the end as SIGTERM begins it."""
    service = Service(backend, chosen)
    listening = http_server.listen(HOST, 0)
    port = listening.getsockname()[1]
    thread = threading.Thread(
        target=http_server.serve_until_signal,
        args=(create_app(service), service, listening),
        kwargs={"drain_delay_s": 0.3},
    )
    thread.start()
    try:
        yield SimpleNamespace(service=service, port=port, thread=thread)
    finally:
        Gated.gate.set()
        service.draining = True
        thread.join(30)
        assert not thread.is_alive()


def started(artifact, *options):
    """The process of `deblur-serve`, and what it printed once it was ready."""
    code = "import sys; from edgedeblur.runtimes.service.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(artifact), "--port", "0", "--json", *options]
    for _ in range(TRIES):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip
        watchdog = threading.Timer(START_S, process.kill)
        watchdog.start()
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                watchdog.cancel()
                return process, json.loads(text)
        watchdog.cancel()
        _, error = process.communicate()
        assert "Ray did not start" in error, error
    raise AssertionError(f"Ray did not start {TRIES} times")


def ask(port, method="GET", path="/", body=None, headers=None, timeout=30):
    """One request on a connection of its own: (status, headers with lower-case names, body)."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, answer.read()
    finally:
        connection.close()


def deblur(port, body, query="", **headers):
    named = {"Content-Type": "application/octet-stream"}
    named |= {key.replace("_", "-"): value for key, value in headers.items()}
    return ask(port, "POST", f"/v1/deblur{query}", body, named)


def refused(answer):
    """(status, detail) of a refusal; fails if it is anything else."""
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    told = json.loads(body)
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["status"] == status
    assert status >= 400
    return status, told["detail"]


def raw(port, data, *, read=True, timeout=20):
    """Send bytes as they are; everything that comes back until the end."""
    with socket.create_connection((HOST, port), timeout=timeout) as connection:
        connection.sendall(data)
        received = b""
        while read and (part := connection.recv(65536)):
            received += part
        return received


def encoded(kind="PNG", height=20, width=30, seed=0, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels(height, width, seed)).save(stream, kind, **options)
    return stream.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def until(condition, seconds=10):
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.01)


class InBackground:
    """A call in a thread, and its result."""

    def __init__(self, call, *arguments, **options):
        self._outcome = []
        self._thread = threading.Thread(
            target=lambda: self._outcome.append(call(*arguments, **options))
        )
        self._thread.start()

    def result(self):
        self._thread.join(30)
        assert self._outcome, "the call failed"
        return self._outcome[0]
