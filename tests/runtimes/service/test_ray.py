"""`deblur-serve` with Ray's replicas: the bytes of `deblur-run`, killed replicas, the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from edgedeblur.runtimes import cli as run_cli

from tests.runtimes.service.support import START_S, ask, deblur, encoded, refused, started

pytestmark = pytest.mark.heavy
ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "benchmarks" / "samples" / "blurry"


@pytest.fixture(scope="module")
def service(artifact):
    process, told = started(artifact, "--replicas", "2", "--threads", "1", "--queue", "64")
    yield SimpleNamespace(process=process, port=int(told["address"].rpartition(":")[2]))
    process.kill()
    process.communicate()


def test_the_bytes_are_those_of_deblur_run(service, artifact, tmp_path):
    for name in ("cat.png", "mountains.png"):
        argv = [str(artifact), str(SAMPLES / name), "-o", f"{tmp_path}/", "--threads", "1"]
        assert run_cli.main(argv) == 0
        status, _, body = deblur(service.port, (SAMPLES / name).read_bytes())
        assert status == 200
        assert body == (tmp_path / name).read_bytes()


def test_a_bad_body_is_refused_by_the_replica(service):
    assert refused(deblur(service.port, encoded("PNG")[:-100]))[0] == 422
    assert json.loads(ask(service.port, path="/v1/model")[2])["target"] == "onnx-fp32"
    assert ask(service.port, path="/readyz")[0] == 200


class Load:
    """Clients that send pictures one after another until told to stop, and what they got."""

    def __init__(self, port, clients):
        self.statuses = []
        self.errors = []
        self._stop = threading.Event()
        self._body = encoded("JPEG", 300, 400)
        self._port = port
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                status, headers, _ = deblur(self._port, self._body)
            except ConnectionRefusedError:
                return  # the socket is closed: nothing was accepted
            except OSError as error:
                self.errors.append(error)
                return
            self.statuses.append(status)
            if headers.get("connection") == "close":
                return

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive()


def replicas_of(process):
    """Process ids of the replicas: Ray gives them names of their own."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    mine = [line.split(None, 1) for line in listed.stdout.splitlines()]
    found = [int(pid) for pid, name in mine if name.startswith("ray::ServeReplica:deblur")]
    return [pid for pid in found if session_of(pid) == session_of(process.pid)]


def session_of(pid):
    """Which Ray a process belongs to: the driver of its cluster, by Ray's temporary folder."""
    opened = [os.path.realpath(fd) for fd in Path(f"/proc/{pid}/fd").glob("*")]
    names = {part for path in opened for part in path.split("/") if part.startswith("session_")}
    return names - {"session_latest"}


def test_a_killed_replica_loses_no_picture(service):
    load = Load(service.port, clients=3)
    while len(load.statuses) < 5:
        time.sleep(0.05)
    victims = replicas_of(service.process)
    assert victims, "no replica was found"
    os.kill(victims[0], signal.SIGKILL)
    killed_at = len(load.statuses)
    while len(load.statuses) < killed_at + 10:
        time.sleep(0.05)
    load.stop()
    assert load.errors == []
    assert set(load.statuses) == {200}


def test_sigterm_answers_everything_that_was_accepted(service):
    load = Load(service.port, clients=6)
    while len(load.statuses) < 6:
        time.sleep(0.05)
    service.process.send_signal(signal.SIGTERM)
    load.stop()
    assert load.errors == []
    assert set(load.statuses) == {200}
    assert service.process.wait(120) == 0
    assert "Traceback" not in service.process.stderr.read()


IN_RAY = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray import serve
from edgedeblur.runtimes.service.replicas import application
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
serve.run(application({"artifact": sys.argv[1], "threads": 1, "limits": {"body_bytes": 1 << 20}}))
print("up", flush=True)
sys.stdin.read()
serve.shutdown()
ray.shutdown()
"""


@pytest.fixture
def in_ray(artifact):
    """The port of Ray's own HTTP proxy over the application that a cluster deploys."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_RAY, str(artifact), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    while line and line != "up\n":
        line = process.stdout.readline()
    watchdog.cancel()
    if not line:
        raise AssertionError(process.communicate()[1])
    yield port
    process.communicate("", timeout=120)


def test_the_same_application_behind_rays_own_proxy(in_ray, artifact, tmp_path):
    argv = [str(artifact), str(SAMPLES / "cat.png"), "-o", f"{tmp_path}/", "--threads", "1"]
    assert run_cli.main(argv) == 0
    status, _, body = deblur(in_ray, (SAMPLES / "cat.png").read_bytes())
    assert (status, body) == (200, (tmp_path / "cat.png").read_bytes())
    assert refused(deblur(in_ray, b"hello"))[0] == 415
    assert refused(deblur(in_ray, bytes(2 << 20)))[0] == 413
    assert ask(in_ray, path="/readyz")[0] == 200
    assert ask(in_ray, path="/docs")[0] == 200
