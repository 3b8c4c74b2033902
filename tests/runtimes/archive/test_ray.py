"""Archive runs with a real, local Ray: the same bytes as a plain run, also after real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.runtimes.archive.support import write_parquet, write_tar

pytestmark = pytest.mark.heavy
PATIENCE_S = 400  # a busy machine starts Ray slowly


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    from edgedeblur.export.cli import main

    path = tmp_path_factory.mktemp("artifact") / "fixed.onnx"
    size = ("--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--size", "256x256")
    assert main([*size, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, photo):
    """Pictures, two of them poisoned, a tar that is cut off, and a Parquet file."""
    folder = tmp_path_factory.mktemp("in")
    for number in range(12):
        Image.fromarray(photo[number:, number:]).save(folder / f"{number:02d}.jpg", quality=90)
    (folder / "bad.jpg").write_bytes((folder / "00.jpg").read_bytes()[:5000])
    (folder / "none.png").write_bytes(b"")
    jpegs = [(folder / f"{number:02d}.jpg").read_bytes() for number in range(6)]
    tar = write_tar(folder / "wds.tar", [(f"{n:04d}.jpg", data) for n, data in enumerate(jpegs)])
    tar.write_bytes(tar.read_bytes()[: -len(jpegs[-1]) - 2000])
    write_parquet(folder / "rows.parquet", {"image": jpegs[:3], "key": ["x.jpg", "y.jpg", "z.jpg"]})
    return folder


def start(*words):
    code = "import sys; from edgedeblur.runtimes.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


def finish(process):
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def pictures(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not any(part.startswith(".partial") for part in path.parts)
    }


def wait_for(condition, process):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(pid):
    """Process id -> command line, of all below ``pid``."""
    parents, found = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
    below, more = set(), {pid}
    while more:
        below |= more
        more = {child for child, parent in parents.items() if parent in more} - below
    return {each: found[each] for each in below - {pid} if each in found}


def test_kills_of_a_worker_and_of_the_driver_change_no_byte(artifact, inputs, tmp_path):
    plain, out = tmp_path / "plain", tmp_path / "out"
    code, _, _ = finish(start(artifact, inputs, "-o", plain, "--threads", 1))
    assert code == 1  # the poisoned ones
    words = (artifact, inputs, "-o", out, "--actors", 1, "--column", "image", "--name-column",
             "key", "--retries", 1, "--json", "--ray")  # fmt: skip

    first = start(*words)
    wait_for(lambda: len(list(out.rglob("*.jpg"))) >= 2, first)
    (worker,) = [p for p, line in descendants(first.pid).items() if "ray::MapWorker" in line]
    os.kill(worker, signal.SIGKILL)
    before = len(list(out.rglob("*.jpg")))
    wait_for(lambda: len(list(out.rglob("*.jpg"))) >= before + 2, first)  # another one took over
    below = descendants(first.pid)
    assert worker not in below
    first.send_signal(signal.SIGKILL)
    first.communicate()
    done_s = time.monotonic() + 60
    while any((Path("/proc") / str(p)).exists() for p in below) and time.monotonic() < done_s:
        time.sleep(0.1)
    partly = pictures(out)
    assert "failures.jsonl" not in partly
    assert len(partly) < 12 + 3 + 5 + 1

    code, stdout, stderr = finish(start(*words))
    assert code == 1, stderr
    assert stdout, stderr
    body = json.loads(stdout)  # nothing of Ray's is in it
    assert body["pictures"] + body["skipped"] == 12 + 3 + 5
    assert body["skipped"] >= len(partly) - 1
    assert body["failed"] == 3
    assert "3 of 23 pictures failed" in stderr
    assert "Traceback" not in stderr

    found = pictures(out)
    failures = [json.loads(line) for line in found.pop("failures.jsonl").decode().splitlines()]
    assert [Path(f["input"]).name for f in failures] == ["bad.jpg", "none.png", "wds.tar"]
    assert "cannot be read on after" in failures[2]["reason"]
    del found["edgedeblur.json"]
    wanted = pictures(plain)
    assert len(wanted) == 12
    for number in range(5):  # the shards hold copies of the first pictures
        wanted[f"wds/{number:04d}.jpg"] = wanted[f"{number:02d}.jpg"]
    for number, name in enumerate("xyz"):
        wanted[f"rows/{name}.jpg"] = wanted[f"{number:02d}.jpg"]
    assert found == wanted


def test_from_and_to_s3(artifact, inputs, tmp_path, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3")
        client.create_bucket(Bucket="archive")
        for name in ("00.jpg", "01.jpg", "bad.jpg", "rows.parquet", "wds.tar"):
            client.put_object(Bucket="archive", Key=f"in/{name}", Body=(inputs / name).read_bytes())
        plain = tmp_path / "plain"
        finish(start(artifact, inputs, "-o", plain, "--threads", 1))
        words = (artifact, "s3://archive/in", "-o", "s3://archive/out", "--actors", 1,
                 "--name-column", "key", "--json", "--ray")  # fmt: skip
        code, stdout, stderr = finish(start(*words))
        assert code == 1, stderr
        assert json.loads(stdout)["pictures"] == 2 + 3 + 5, stderr

        def objects():
            listed = client.list_objects_v2(Bucket="archive", Prefix="out/")["Contents"]
            return {
                entry["Key"]: client.get_object(Bucket="archive", Key=entry["Key"])["Body"].read()
                for entry in listed
            }

        found = objects()
        for key, number in (
            ("out/00.jpg", 0), ("out/01.jpg", 1), ("out/rows/z.jpg", 2), ("out/wds/0004.jpg", 4)
        ):  # fmt: skip
            assert found[key] == (plain / f"{number:02d}.jpg").read_bytes()
        assert len(found) == 2 + 3 + 5 + 2  # the marker, and the failures
        client.delete_object(Bucket="archive", Key="out/01.jpg")
        code, stdout, stderr = finish(start(*words))
        assert code == 1, stderr
        assert stdout, stderr
        body = json.loads(stdout)
        assert (body["pictures"], body["skipped"]) == (1, 9)
        assert objects() == found
    finally:
        server.stop()
