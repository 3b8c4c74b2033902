import json
import shutil
import sys
from pathlib import Path

import pytest
from edgedeblur.benchmarks.bench import run_bench
from edgedeblur.benchmarks.environment import describe_machine
from edgedeblur.benchmarks.plan import Request, labels
from edgedeblur.benchmarks.quality.data import load_data
from edgedeblur.benchmarks.quality.reference import find_checkpoint
from edgedeblur.benchmarks.result import Row, Spread
from edgedeblur.benchmarks.serialise import from_json_types, to_json_types
from edgedeblur.benchmarks.workers import jobs, worker
from edgedeblur.benchmarks.workers.jobs import Job, run_job
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.files import sha256_of

from .support import SIZE, conditions, sharpening, write_artifact, write_pairs


@pytest.fixture
def pictures(tmp_path):
    return write_pairs(tmp_path / "data", 2)


def job(path, pictures, **changes):
    fields = {"latency": True, "quality": True, **changes}
    return Job(str(path), path.name, conditions(), pictures, **fields)


def dying(monkeypatch, code):
    command = [sys.executable, "-c", code]
    monkeypatch.setattr(jobs, "worker_command", lambda answer: command)


def test_a_job_runs_in_its_own_process(tmp_path, pictures):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    seen = []
    row = run_job(job(path, pictures), lambda done, total: seen.append((done, total)))
    assert row.error is None
    assert row.engine == "a.onnx"
    assert (row.target, row.norm, row.precision) == ("onnx-fp32", "frozen", "fp32")
    assert row.sha256 == sha256_of(path)
    assert row.footprint.macs == 81 * SIZE[0] * SIZE[1]
    assert row.latency.runs == 3
    assert row.quality.pictures == 2
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGKILL"])
def test_a_crash_names_engine_and_signal(tmp_path, pictures, monkeypatch, signal):
    dying(monkeypatch, f"import os, signal; os.kill(os.getpid(), signal.{signal})")
    row = run_job(job(tmp_path / "bad.onnx", pictures))
    assert f"bad.onnx: the measuring process was killed by {signal}" in row.error
    assert "\n" not in row.error
    assert ("out-of-memory" in row.error) == (signal == "SIGKILL")


def test_an_unforeseen_failure_gives_its_last_line(tmp_path, pictures, monkeypatch):
    dying(monkeypatch, "raise RuntimeError('the bearing is worn')")
    row = run_job(job(tmp_path / "bad.onnx", pictures))
    assert "exit code 1 (RuntimeError: the bearing is worn)" in row.error


def test_a_worker_that_says_nothing_is_an_error(tmp_path, pictures, monkeypatch):
    dying(monkeypatch, "pass")
    assert "exit code 0 (no message)" in run_job(job(tmp_path / "bad.onnx", pictures)).error


def test_a_failed_phase_keeps_what_was_measured(tmp_path, pictures):
    (tmp_path / "data" / "sharp" / "p1.png").write_bytes(b"not a picture")
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    row = worker.measure(job(path, pictures))
    assert row.latency is not None
    assert row.footprint is not None
    assert row.quality is None
    assert "p1" in row.error


def test_one_bad_engine_leaves_the_others(tmp_path, pictures):
    good = write_artifact(tmp_path / "good.onnx", sharpening())
    torn = write_artifact(tmp_path / "torn.onnx", sharpening())
    torn.write_bytes(good.read_bytes()[:100])
    engines = (tmp_path / "none.onnx", torn, tmp_path / "a.xyz", good)
    engines[2].write_bytes(b"?")
    request = Request(engines, (), conditions(), pictures, latency=False, quality=False)
    rows = {row.engine: row for row in run_bench(request)}
    assert "none.onnx: no such file" in rows["none.onnx"].error
    assert "SHA-256 differs" in rows["torn.onnx"].error
    assert "no runner opens" in rows["a.xyz"].error
    assert rows["good.onnx"].error is None
    assert rows["good.onnx"].footprint is not None
    assert rows["good.onnx"].quality is None


def test_a_missing_reference_says_what_to_pass(tmp_path, pictures):
    path = write_artifact(tmp_path / "a.onnx", sharpening())
    (row,) = run_bench(Request((path,), (), conditions(), pictures))
    assert "pass it with --checkpoint FILE, or use --no-quality" in row.error
    assert str(path) in row.error


def test_reference_is_recognised_by_its_hash(tmp_path):
    right, wrong = tmp_path / "right.pth", tmp_path / "wrong.pth"
    right.write_bytes(b"right")
    wrong.write_bytes(b"wrong")
    path = write_artifact(
        tmp_path / "a.onnx", sharpening(), checkpoint=(sha256_of(right), str(wrong))
    )
    manifest = read_manifest(path)
    assert find_checkpoint(manifest, [wrong, right], artifact=path) == right
    with pytest.raises(ValueError, match="has another SHA-256"):
        find_checkpoint(manifest, [wrong], artifact=path)
    own = write_artifact(
        tmp_path / "b.onnx", sharpening(), checkpoint=(sha256_of(right), str(right))
    )
    assert find_checkpoint(read_manifest(own), [], artifact=own) == right


def test_nothing_to_measure_is_an_error(tmp_path, pictures):
    with pytest.raises(ValueError, match="nothing to measure"):
        run_bench(Request((), (), conditions(), pictures))
    with pytest.raises(ValueError, match="nothing to measure"):
        run_bench(Request((tmp_path / "a.onnx",), (), conditions(), ()))
    with pytest.raises(FileNotFoundError, match="check --checkpoint"):
        run_bench(Request((tmp_path,), (tmp_path / "no.pth",), conditions(), pictures))


def test_labels_are_names_unless_two_are_the_same(tmp_path):
    first, second, third = tmp_path / "a" / "x.onnx", tmp_path / "b" / "x.onnx", tmp_path / "y.onnx"
    assert labels([first, third]) == ["x.onnx", "y.onnx"]
    assert labels([first, second, third]) == [str(first), str(second), "y.onnx"]


def test_data_is_limited_and_its_hash_with_it(tmp_path, pictures):
    whole, files = load_data(tmp_path / "data", split="test", subset="blur", limit=None)
    part, fewer = load_data(tmp_path / "data", split="test", subset="blur", limit=1)
    assert (whole.name, whole.pairs, len(files)) == ("data", 2, 2)
    assert (part.pairs, fewer) == (1, files[:1])
    assert part.list_sha256 != whole.list_sha256
    assert str(tmp_path) not in json.dumps(to_json_types(whole))


def test_default_data_is_called_samples():
    data, files = load_data(None, split="test", subset="blur", limit=None)
    assert data.name == "samples"
    assert data.pairs == len(files) > 0


def test_machine_is_described():
    machine = describe_machine()
    assert machine.cpu
    assert 1 <= machine.threads_usable <= machine.cores
    assert {"numpy", "torch"} <= set(machine.packages)


def test_plain_round_trip_and_what_it_refuses():
    row = Row("a", error="no")
    assert from_json_types(Row, to_json_types(row), origin="x") == row
    infinite = Spread(float("inf"), 1.0, 2.0)
    assert to_json_types(infinite)["median_ms"] is None
    assert from_json_types(Spread, to_json_types(infinite), origin="x") == infinite
    with pytest.raises(ValueError, match="cannot hold nan"):
        to_json_types(Spread(float("nan"), 1.0, 2.0))
    for wrong in ({"engine": 3}, {"engine": "a", "what": 1}, {}, []):
        with pytest.raises(ValueError, match="x: does not have this version's fields"):
            from_json_types(Row, wrong, origin="x")


def test_two_parallel_folders_with_names_of_their_own(tmp_path):
    samples = Path(__file__).parents[2] / "benchmarks" / "samples"
    for side, name in (("blurry", "mine"), ("sharp", "theirs")):
        (tmp_path / name).mkdir()
        shutil.copy(samples / side / "cat.png", tmp_path / name)
    data, files = load_data(
        tmp_path / "mine", split="test", subset="blur", limit=None, sharp=tmp_path / "theirs"
    )
    assert (data.layout, data.pairs) == ("folders", 1)
    assert files[0].sharps == (str(tmp_path / "theirs" / "cat.png"),)
