"""Inputs and names of an archive run, and how many workers it takes; no Ray."""

from pathlib import Path

import pytest
from edgedeblur.runtimes.archive.command import plan_workers
from edgedeblur.runtimes.archive.plan import (
    Item,
    output_name,
    plan_items,
    rows_per_task,
    safe_name,
    unfinished,
)

from tests.runtimes.cli_run.support import save


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(*inputs, output="out", recursive=False, suffix=None):
    items, missing = plan_items(inputs, output, recursive=recursive, suffix=suffix)
    return items, [str(failed) for failed in missing]


def test_folders_patterns_and_files_with_the_names_of_a_plain_run(here):
    for name in ("in/a.png", "in/b.jpg", "in/deep/c.png", "more/d.png"):
        save(name)
    Path("in/notes.txt").write_text("no picture")
    items, missing = planned("in", "more/*.png", recursive=True)
    assert [(i.output, i.is_shard) for i in items] == [
        ("a.png", False),
        ("b.jpg", False),
        ("deep/c.png", False),
        ("d.png", False),
    ]
    assert [i.address for i in items] == [
        str(here / name) for name in ("in/a.png", "in/b.jpg", "in/deep/c.png", "more/d.png")
    ]
    assert missing == []
    assert [i.output for i in planned("in", suffix=".webp")[0]] == ["a.webp", "b.webp"]


def test_shards_get_a_folder_each(here):
    for name in ("s/one.tar", "s/two.parquet", "s/three.tar.gz"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"")
    items, _ = planned("s")
    assert [(i.output, i.is_shard) for i in items] == [("one", True), ("two", True)]


def test_what_is_missing_is_said_and_does_not_stop_the_rest(here):
    save("a.png")
    items, missing = planned("a.png", "gone.png", "none/*.png")
    assert [i.output for i in items] == ["a.png"]
    assert missing == [
        "gone.png: no such file or folder",
        "none/*.png: matches no .jpg/.jpeg/.png/.webp/.tif/.tiff/.bmp/.parquet/.tar file",
    ]


def test_results_inside_the_input_folder_are_no_inputs(here):
    save("in/a.png")
    save("in/out/a.png")
    assert [i.output for i in planned("in", output="in/out", recursive=True)[0]] == ["a.png"]


def test_two_inputs_with_one_output_are_refused(here):
    save("x/a.png")
    save("y/a.png")
    with pytest.raises(ValueError, match=r"x/a\.png and .*y/a\.png would both be written to out/a"):
        planned("x", "y")
    with pytest.raises(ValueError, match=r"would replace the input .*x/a\.png"):
        planned("x", output="x")


def test_names_of_outputs():
    assert output_name("a/b.JPG", None) == "a/b.JPG"
    assert output_name("a/b.jpg", ".png") == "a/b.png"
    assert output_name("v1.2/00000007", ".png") == "v1.2/00000007.png"
    assert output_name("b.2", None, b"\xff\xd8\xff\xe0...") == "b.2.jpg"
    assert output_name("b", None, b"RIFF\0\0\0\0WEBPVP8 ") == "b.webp"
    assert output_name("b", None, b"\x89PNG\r\n\x1a\n...") == "b.png"
    with pytest.raises(ValueError, match="choose one with --format"):
        output_name("b.xyz", None)
    with pytest.raises(ValueError, match=r"b: not a \.jpg"):
        output_name("b", None, b"<svg>")


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:\\a.png", ""])
def test_names_that_lead_out_of_the_folder(name):
    with pytest.raises(ValueError, match="leads out of the output folder"):
        safe_name(name)


def test_safe_names():
    assert safe_name("a\\b.png") == "a/b.png"
    assert safe_name("./a//b.png") == "a/b.png"


def test_only_outputs_since_the_marker_count_as_finished():
    items = [Item(f"/in/{n}", n) for n in ("old.png", "new.png", "none.png")]
    items.append(Item("/in/s.tar", "s", is_shard=True))
    there = {"old.png": 99.9, "new.png": 100.0, "s": 200.0}
    left, skipped = unfinished(items, there, 100.0)
    assert [item.output for item in left] == ["old.png", "none.png", "s"]
    assert skipped == 1


def test_rows_per_task():
    assert rows_per_task(5, 2) == 1
    assert rows_per_task(64, 2) == 4
    assert rows_per_task(1_000_000, 8) == 16


@pytest.mark.parametrize(
    ("actors", "threads", "cores", "expected"),
    [
        (None, 0, 8, (8, 1)),  # one thread each
        (None, 4, 8, (2, 4)),
        (None, 3, 8, (2, 3)),
        (2, 0, 8, (2, 4)),
        (3, 2, 8, (3, 2)),
        (None, 16, 16, (1, 16)),
    ],
)
def test_workers_share_the_cores(actors, threads, cores, expected):
    workers = plan_workers(
        actors=actors, threads=threads, cores=cores, gpus=0, device="cpu", local=True
    )
    assert (workers.count, workers.threads) == expected


def test_more_threads_than_cores_are_refused_here_and_wait_on_a_cluster():
    wanted = {"actors": 3, "threads": 2, "cores": 4, "gpus": 0, "device": "cpu"}
    with pytest.raises(ValueError, match="3 workers of 2 threads are more than this machine's 4"):
        plan_workers(**wanted, local=True)
    assert plan_workers(**wanted, local=False).count == 3


def test_fsspec_addresses(monkeypatch):
    pytest.importorskip("fsspec")
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("bucket/in/a.png", "bucket/in/deep/b.jpg", "bucket/in/c.txt", "bucket/in/s.tar",
                 "bucket/in/out/a.png"):  # fmt: skip
        memory.pipe_file(name, b"x")
    output = "memory://bucket/in/out"
    names = [(i.address, i.output) for i in planned("memory://bucket/in", output=output)[0]]
    assert names == [("memory://bucket/in/a.png", "a.png"), ("memory://bucket/in/s.tar", "s")]
    deep, _ = planned("memory://bucket/in", output=output, recursive=True)
    assert [i.output for i in deep] == ["a.png", "deep/b.jpg", "s"]
    globbed, _ = planned("memory://bucket/in/deep/*.jpg", output=output)
    assert [i.output for i in globbed] == ["b.jpg"]
    _, missing = planned("memory://bucket/none", output=output)
    assert missing[0].startswith("memory://bucket/none: no .jpg/")
