"""A real Triton server, without a GPU, in an environment of its own: the bytes of `deblur-run`.

The wheel of nvidia-pytriton carries the server with its Python backend. The configurations for the
backends that it lacks are parsed by the schema that Triton's client brings; nothing more is known
of them.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest
from edgedeblur.export import cli as export_cli
from edgedeblur.runtimes import cli as run_cli

from tests.export.triton import in_server_env
from tests.runtimes.service.support import encoded

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "benchmarks" / "samples" / "blurry"
PACKAGES = ("nvidia-pytriton==0.7.0", "tritonclient[grpc,http]>=2.50")
SCRIPT = Path(in_server_env.__file__)
READY_S = 120


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with the server, its client and this package."""
    folder = tmp_path_factory.mktemp("triton") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    uv = shutil.which("uv", path=Path(sys.executable).parent) or shutil.which("uv")
    assert uv, "uv is not installed"
    install = [uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python"]
    # Editable: building a wheel would leave a folder in the checkout.
    subprocess.run([*install, *PACKAGES, "--editable", f"{ROOT}[onnxruntime]"], check=True)
    return folder


def in_environment(environment, *words, **options):
    command = [str(environment / "bin" / "python"), str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One network in two repositories: for the Python backend, and for the formats' own."""
    folder = tmp_path_factory.mktemp("exported")
    artifact = folder / "net.onnx"
    common = ["--backbone", "mobilenet_dsc", "--force"]
    onnx = [*common, "--target", "onnx-fp32", "--dynamic", "-o", str(artifact)]
    assert export_cli.main([*onnx, "--triton", str(folder / "python"), "--triton-python"]) == 0
    assert export_cli.main([*onnx, "--triton", str(folder / "native")]) == 0
    fixed = [*common, "--target", "openvino-fp16", "--size", "64x96", "--triton"]
    assert export_cli.main([*fixed, str(folder / "native"), "-o", str(folder / "ov.openvino")]) == 0
    return folder


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def server(environment, exported, tmp_path_factory):
    """(HTTP address, gRPC address) of a server over the first repository."""
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    wheel = packages / "pytriton" / "tritonserver"
    copy = tmp_path_factory.mktemp("server") / "tritonserver"
    shutil.copytree(wheel, copy)
    # The backend finds the interpreter's stub beside itself.
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stub = copy / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, copy / "backends" / "python")
    libraries = [packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    http, grpc = free_port(), free_port()
    log = (copy / "log").open("w+")
    process = subprocess.Popen(
        [
            copy / "bin" / "tritonserver",
            f"--model-repository={exported / 'python'}",
            f"--backend-directory={copy / 'backends'}",
            "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--allow-metrics=false",
            f"--http-port={http}", f"--grpc-port={grpc}",
        ],
        stdout=log, stderr=log,
        env={
            **os.environ,
            "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(packages),
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "OMP_WAIT_POLICY": "PASSIVE",
        },
    )  # fmt: skip
    try:
        wait_until_ready(process, f"http://127.0.0.1:{http}/v2/health/ready", log)
        yield f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def wait_until_ready(process, address, log):
    latest = time.monotonic() + READY_S
    while time.monotonic() < latest:
        assert process.poll() is None, log.seek(0) or log.read()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    log.seek(0)
    raise AssertionError(log.read())


def test_pictures_over_http_and_grpc_are_those_of_deblur_run(
    environment, server, exported, tmp_path
):
    cases = [
        (SAMPLES / "cat.png", {}),
        (SAMPLES / "mountains.png", {"format": "webp", "quality": 80}),
        (tmp_path / "large.jpg", {}),  # in tiles: more than the two megapixels taken whole
    ]
    cases[2][0].write_bytes(encoded("JPEG", 1300, 1700))
    asked = [{"path": str(path), **wanted} for path, wanted in cases]
    answers = in_environment(environment, "ask", *server, "net_pictures", input=json.dumps(asked))
    for (path, wanted), answer in zip(cases, answers, strict=True):
        options = [f"--{name}={value}" for name, value in wanted.items()]
        folder = tmp_path / path.stem
        argv = [str(exported / "net.onnx"), str(path), "-o", f"{folder}/", "--threads", "1"]
        assert run_cli.main([*argv, *options]) == 0
        (written,) = folder.iterdir()
        for road in ("http", "grpc"):
            assert base64.b64decode(answer[road]) == written.read_bytes(), (path, road)


def test_what_is_no_picture_is_refused_without_a_trace(environment, server, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(encoded("JPEG")[:-200])
    text = tmp_path / "text.jpg"
    text.write_bytes(b"hello")
    asked = [
        {"path": str(bad)},
        {"path": str(text)},
        {"path": str(SAMPLES / "cat.png"), "format": "tiff"},
        {"path": str(SAMPLES / "cat.png"), "quality": 0},
    ]
    answers = in_environment(environment, "ask", *server, "net_pictures", input=json.dumps(asked))
    words = ("damaged or cut off", "not a JPEG, PNG or WebP", "FORMAT must be", "QUALITY must be")
    for answer, expected in zip(answers, words, strict=True):
        for road in ("http", "grpc"):
            assert answer[road].startswith("error: ")
            assert expected in answer[road]
            assert not any(word in answer[road] for word in ("Traceback", ".py", "/"))


def test_configurations_follow_tritons_schema(environment, exported):
    """Also those for backends that no server here has loaded."""
    ours = in_environment(environment, "parse", exported / "python")
    assert ours["net"]["backend"] == ours["net_pictures"]["backend"] == "python"
    native = in_environment(environment, "parse", exported / "native")
    assert set(native) == {"net", "net_pictures", "ov", "ov_pictures"}
    for name, backend, sides in (("net", "onnxruntime", "-1"), ("ov", "openvino", None)):
        config = native[name]
        assert config["backend"] == backend
        assert config["max_batch_size"] == 4
        assert config["input"][0]["data_type"] == "TYPE_FP32"
        assert config["input"][0]["dims"] == ["3", sides or "64", sides or "96"]
        assert config["dynamic_batching"]["max_queue_delay_microseconds"] == "2000"
        assert config["model_warmup"][0]["batch_size"] == 1
        assert config["response_cache"].get("enable", False) is False
        folder = exported / "native" / name / "1"
        assert (folder / config["default_model_filename"]).is_file()
