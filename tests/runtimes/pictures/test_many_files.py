"""Planning a run over many pictures: linear in their number, however busy the machine is."""

import os
import sys
import tempfile
from pathlib import Path

from edgedeblur.runtimes.pictures.jobs import check_jobs, plan_jobs
from edgedeblur.runtimes.pictures.sources import Source, find_sources


def calls_of(work):
    """How many Python and C functions ``work`` calls; every comparison of paths is one."""
    count = 0

    def counting(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def planned(number, folder):
    sources = [Source(folder / f"{n:05}.png", Path(f"{n:05}.png")) for n in range(number)]
    return plan_jobs(sources, str(folder / "out"), suffix=None, side_by_side=True)


def test_naming_10000_pictures_is_linear(tmp_path):
    assert len(planned(10_000, tmp_path)) == 10_000
    few, many = (calls_of(lambda n=n: planned(n, tmp_path)) for n in (500, 10_000))
    assert many < 1.1 * 20 * few


def test_a_folder_is_resolved_once_and_not_for_every_picture(tmp_path, monkeypatch):
    resolved, real = [], os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: resolved.append(path) or real(path))
    planned(1000, tmp_path)
    assert sorted(resolved) == [tmp_path, tmp_path / "out"]


def test_listing_and_checking_are_linear(tmp_path):
    counts = []
    for number in (100, 1000):
        folder = tmp_path / str(number)
        folder.mkdir()
        for n in range(number):
            (folder / f"{n:05}.png").touch()
        output = str(folder / "out")

        def work(folder=folder, output=output, number=number):
            sources, _ = find_sources([str(folder)], recursive=True, output=output)
            jobs = plan_jobs(sources, output, suffix=None, side_by_side=True)
            assert len(check_jobs(jobs, force=False).ready) == number

        counts.append(calls_of(work))
    assert counts[1] < 1.2 * 10 * counts[0]


def test_a_folder_is_tried_once_and_not_for_every_picture(tmp_path, monkeypatch):
    tried, real = [], tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **options: tried.append(options) or real(**options)
    )
    jobs = planned(1000, tmp_path)
    assert len(check_jobs(jobs, force=False).ready) == 1000
    assert tried == [{"dir": tmp_path / "out"}]


def test_every_picture_of_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "out").touch()
    sources = [Source(tmp_path / f"{n:05}.png", Path(f"{n:05}.png")) for n in range(2)]
    jobs = plan_jobs(sources, f"{tmp_path}/out/in/", suffix=None, side_by_side=False)
    failures = check_jobs(jobs, force=False).failures
    assert [failure.source.name for failure in failures] == ["00000.png", "00001.png"]
    assert {failure.reason for failure in failures} == {
        f"cannot write into {tmp_path}/out/in (Not a directory); choose another output folder"
    }
