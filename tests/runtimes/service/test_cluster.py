"""`deblur-serve --ray HOST:PORT`: replicas on a Ray that runs already, and goes on running."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from edgedeblur.runtimes import cli as run_cli
from edgedeblur.runtimes.service import cli as serve_cli

from tests.runtimes.service.support import HOST, START_S, TRIES, ask, deblur, started

pytestmark = pytest.mark.heavy
CAT = Path(__file__).parents[3] / "benchmarks" / "samples" / "blurry" / "cat.png"

APPLICATIONS = """
import sys, ray
from ray import serve
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
for name, application in serve.status().applications.items():
    print(name.partition("-")[0], application.status.value)
"""


def free_port():
    with socket.create_server((HOST, 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def cluster():
    """The address of a Ray that ``ray start --head`` started, with two cores."""
    with tempfile.TemporaryDirectory(prefix="edb-", dir="/tmp") as folder:
        for number in range(TRIES):
            address = f"{HOST}:{free_port()}"
            process, told = head(address, f"{folder}/{number}")
            if "Ray runtime started" in told:
                break
            process.communicate()
        else:
            raise AssertionError(told)
        yield address
        process.terminate()
        process.communicate(timeout=120)


def head(address, folder):
    """The process of a cluster's head, and what it printed until it was up or had given up."""
    process = subprocess.Popen(
        [Path(sys.prefix) / "bin" / "ray", "start", "--head", "--block", "--num-cpus", "2",
         "--port", address.rpartition(":")[2], "--ray-client-server-port", str(free_port()),
         "--temp-dir", folder, "--include-dashboard", "false", "--disable-usage-stats"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # Where an earlier local Ray left a token, the cluster would ask for it.
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "RAY_AUTH_MODE": "disabled"},
    )  # fmt: skip
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    told = ""
    for line in process.stdout:
        told += line
        if "Ray runtime started" in line:
            break
    watchdog.cancel()
    return process, told


def applications(address):
    """What Ray Serve runs on the cluster, as lines of a name's beginning and a state."""
    done = subprocess.run(
        [sys.executable, "-c", APPLICATIONS, address],
        capture_output=True, text=True, check=True, timeout=START_S,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    return done.stdout.splitlines()


def end(process):
    process.terminate()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in error


def test_services_share_a_cluster_and_leave_it_as_it_was(cluster, artifact, tmp_path):
    argv = [str(artifact), str(CAT), "-o", f"{tmp_path}/", "--threads", "1"]
    assert run_cli.main(argv) == 0
    wanted = (tmp_path / "cat.png").read_bytes()
    options = ("--ray", cluster, "--threads", "1", "--drain-delay", "0")
    running = [started(artifact, *options) for _ in range(2)]
    try:
        ports = [int(told["address"].rpartition(":")[2]) for _, told in running]
        for port in ports:
            assert ask(port, path="/readyz")[0] == 200
            status, _, body = deblur(port, CAT.read_bytes())
            assert (status, body) == (200, wanted)
        assert applications(cluster) == ["deblur RUNNING"] * 2
        end(running[0][0])
        assert applications(cluster) == ["deblur RUNNING"]
        status, _, body = deblur(ports[1], CAT.read_bytes())
        assert (status, body) == (200, wanted)
        end(running[1][0])
        assert applications(cluster) == []
    finally:
        for process, _ in running:
            process.kill()


def test_what_listens_may_refuse(artifact, capsys, monkeypatch):
    def refuse(address, **_options):
        raise ConnectionError(f"Failed to connect to Ray cluster at {address}")

    monkeypatch.setattr("ray.init", refuse)
    with socket.create_server((HOST, 0)) as listening:
        address = f"{HOST}:{listening.getsockname()[1]}"
        assert serve_cli.main([str(artifact), "--ray", address, "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"listens at {address}" in line
    assert "RAY_AUTH_MODE=token" in line


def test_no_cluster_at_the_address(artifact, capsys):
    address = f"{HOST}:{free_port()}"
    assert serve_cli.main([str(artifact), "--ray", address, "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no Ray cluster answers at {address}; start one with 'ray start --head'" in line
