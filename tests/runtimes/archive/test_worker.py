"""What one worker does: the bytes of a plain run, failures, retries, deaths; no Ray."""

import json
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.archive import stores, worker
from edgedeblur.runtimes.archive.stores import LocalStore, retrying, seconds_of
from edgedeblur.runtimes.archive.summary import Summary, Tally, failure_lines, write_failures
from edgedeblur.runtimes.archive.worker import CountedAttempts, Result, Row, WorkSettings, work

from tests.runtimes.archive.support import encoded, inverter
from tests.runtimes.cli_run.support import save


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stores.time, "sleep", lambda seconds: None)
    return tmp_path


def worked(rows, **settings):
    done = work(inverter(), rows, WorkSettings("out", **settings), CountedAttempts(), "rows")
    return {result.output: result for result in done}


def test_the_bytes_are_those_of_a_plain_run(here, monkeypatch):
    names = ["a.png", "b.jpg", "c.webp", "d.tif", "e.bmp"]
    rows = [Row(str(here / save(f"in/{n}", seed)), n) for seed, n in enumerate(names)]
    results = worked(rows)
    monkeypatch.setattr(cli, "open_runner", lambda path, *, threads, device: inverter())
    assert cli.main(["model.onnx", "in", "-o", "plain"]) == 0
    for name in names:
        assert Path("out", name).read_bytes() == Path("plain", name).read_bytes()
        assert results[name].status == worker.DONE
        assert results[name].pixels == 20 * 30
        assert results[name].bytes_in == Path("in", name).stat().st_size
        assert results[name].bytes_out == Path("out", name).stat().st_size
        assert results[name].end_s >= results[name].begin_s > 1.7e9


def test_bytes_that_come_with_the_row_are_not_read(here):
    results = worked([Row("s3://gone/shard.tar!x.png", "x.png", encoded(3))])
    assert results["x.png"].status == worker.DONE
    assert results["x.png"].read_s == 0.0


def test_poisoned_pictures_are_failures_and_the_others_are_done(here):
    save("in/a.png")
    save("in/c.png", 2)
    Path("in/b.png").write_bytes(Path("in/a.png").read_bytes()[:60])
    Path("in/d.png").write_bytes(b"")
    rows = [Row(f"in/{n}.png", f"{n}.png") for n in "abcde"]
    results = worked(rows)
    assert [results[f"{n}.png"].status for n in "abcde"] == [
        "done", "failed", "done", "failed", "failed"
    ]  # fmt: skip
    assert results["b.png"].reason.startswith("in/b.png: ")
    assert results["d.png"].reason == "in/d.png: the file is empty; copy it again"
    assert results["e.png"].reason == "in/e.png: no such file"
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.png", "c.png"]


def test_a_fault_of_ours_is_not_hidden_as_a_failure(here, monkeypatch):
    monkeypatch.setattr(worker, "deblur_encoded", lambda *args, **kwargs: {}["ours"])
    with pytest.raises(KeyError):
        worked([Row("x", "x.png", encoded())])


class Flaky(LocalStore):
    """Fails so many times before each read and write."""

    def __init__(self, times):
        self.left = {"read": times, "write": times}

    def _maybe(self, kind):
        self.left[kind] -= 1
        if self.left[kind] >= 0:
            raise ConnectionResetError("reset by peer")

    def read(self, address):
        self._maybe("read")
        return super().read(address)

    def write(self, address, data):
        self._maybe("write")
        super().write(address, data)


def test_reads_and_writes_are_tried_again(here, monkeypatch):
    save("in/a.png")
    for times, status in ((2, "done"), (3, "failed")):
        flaky = Flaky(times)
        monkeypatch.setattr(worker, "store_for", lambda address, flaky=flaky: flaky)
        result = worked([Row("in/a.png", "a.png")], retries=2)["a.png"]
        assert result.status == status
        if status == "done":
            assert result.retries == 4
        else:
            assert result.reason == "in/a.png: reset by peer"


def test_waits_double_and_lasting_errors_are_not_tried_again():
    waits, calls = [], []

    def fails(error):
        calls.append(error)
        raise error

    with pytest.raises(TimeoutError):
        retrying(lambda: fails(TimeoutError()), 8, waits.append)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    calls.clear()
    with pytest.raises(FileNotFoundError):
        retrying(lambda: fails(FileNotFoundError()), 8, waits.append)
    assert len(calls) == 1


class Killer(BaseException):
    """Stands for the end of a process: nothing after it runs."""


def test_a_picture_that_kills_its_worker_becomes_a_failure(here, monkeypatch):
    real = worker.deblur_encoded

    def deadly(runner, data, settings, *, name, target):
        if name == "b":
            raise Killer
        return real(runner, data, settings, name=name, target=target)

    monkeypatch.setattr(worker, "deblur_encoded", deadly)
    rows = [Row(name, f"{name}.png", encoded(seed)) for seed, name in enumerate("abc")]
    board = CountedAttempts()
    deaths = 0
    while True:  # as a scheduler gives the rows to the next worker
        try:
            results = work(inverter(), rows, WorkSettings("out", retries=2), board, "rows")
            break
        except Killer:
            deaths += 1
    assert deaths == 1 + 3  # at first with its neighbours, then counted: one try, two retries
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert results[1].reason == "b: its worker died 3 times while deblurring it"
    assert board._begun == {}


def test_times_of_stores():
    assert seconds_of(12) == 12.0
    assert seconds_of("1970-01-01T00:01:00Z") == 60.0
    assert seconds_of(np.datetime64("1970-01-01T00:02:00").astype("M8[s]").item()) == 120.0
    with pytest.raises(TypeError, match="not a time"):
        seconds_of(None)


def summary(tally, price=None):
    return Summary("m.onnx", "ab" * 32, "s3://b/out", "cpu", 2, 1, 20.0, price, tally)


def test_a_summary_adds_up():
    tally = Tally(skipped=3)
    tally.add(Result("a", "a", "done", "", 1, 6_000_000, 10, 20, 0.1, 0.2, 0.3, 0.4, 100.0, 104.0))
    tally.add(Result("b", "b", "done", "", 0, 2_000_000, 30, 40, 0.3, 0.4, 0.5, 0.6, 102.0, 110.0))
    tally.add(Result("c", "c", "failed", "c: damaged", 2, begin_s=50.0, end_s=500.0))
    tally.add(Result("d", "d", "skipped"))
    body = summary(tally, price=3.6).to_dict()
    assert (body["pictures"], body["skipped"], body["failed"], body["retries"]) == (2, 4, 1, 3)
    assert (body["megapixels"], body["bytes_in"], body["bytes_out"]) == (8.0, 40, 60)
    assert body["mean"] == {"read_ms": 200, "infer_ms": 400, "around_ms": 500, "write_ms": 300}
    assert (body["work_s"], body["pictures_per_s"]) == (10.0, 0.2)  # 2 pictures from 100 s to 110 s
    assert body["cost_per_1000"] == 10.0  # 20 s at 0.001 a second for 2 pictures
    assert body["failures_file"] == "s3://b/out/failures.jsonl"
    assert summary(tally).to_dict()["cost_per_1000"] is None
    json.dumps(body, allow_nan=False)


def test_a_summary_of_nothing():
    body = summary(Tally(skipped=7), price=1.0).to_dict()
    assert (body["pictures"], body["skipped"], body["pictures_per_s"]) == (0, 7, None)
    assert (body["cost_per_1000"], body["failures_file"], body["mean"]) == (None, None, {})


def test_the_failures_file_is_sorted_and_goes_when_there_are_none(tmp_path):
    tally = Tally()
    for name in ("z", "a"):
        tally.add(Result(name, name, "failed", f"{name}: damaged"))
    write_failures(LocalStore(), str(tmp_path), tally.failures)
    lines = (tmp_path / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"input": "a", "reason": "a: damaged"},
        {"input": "z", "reason": "z: damaged"},
    ]
    assert failure_lines(tally.failures, "out", 9) == [
        "deblur-run: error: 2 of 9 pictures failed", "  a: damaged", "  z: damaged"
    ]  # fmt: skip
    write_failures(LocalStore(), str(tmp_path), [])
    assert list(tmp_path.iterdir()) == []
