"""Several files that get their names together; `replacing` alone is in test_artifact."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from edgedeblur.runtimes.files import replacing_all


@pytest.fixture
def pair(tmp_path):
    """A folder and a file, as an artifact and its manifest, with older ones in their places."""
    folder, file = tmp_path / "net.openvino", tmp_path / "net.openvino.json"
    folder.mkdir()
    (folder / "model.xml").write_text("old")
    file.write_text("old")
    return folder, file


def write(pair):
    with replacing_all(pair) as (folder, file):
        folder.mkdir()
        (folder / "model.xml").write_text("new")
        file.write_text("new")


def held(pair):
    folder, file = pair
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name, file.name]
    return (folder / "model.xml").read_text(), file.read_text()


def failing_at(monkeypatch, failures):
    """`failures`: number of the rename, counted from 0, and what it raises."""
    replace, calls = Path.replace, []

    def rename(path, destination):
        calls.append(path)
        if len(calls) - 1 in failures:
            raise failures[len(calls) - 1]
        return replace(path, destination)

    monkeypatch.setattr(Path, "replace", rename)


def test_both_are_replaced(pair):
    write(pair)
    assert held(pair) == ("new", "new")


# 0: the old folder moves away, 1: the new one gets its name, 2: the new file gets its name.
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_rename_takes_the_others_back(pair, monkeypatch, number, failure):
    with monkeypatch.context() as patch:
        failing_at(patch, {number: failure})
        with pytest.raises(type(failure)):
            write(pair)
    assert held(pair) == ("old", "old")


def test_an_interrupt_after_the_last_rename_changes_nothing_back(pair, monkeypatch):
    replace = Path.replace

    def rename(path, destination):
        replace(path, destination)
        if Path(destination) == pair[1]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", rename)
        with pytest.raises(KeyboardInterrupt):
            write(pair)
    assert held(pair) == ("new", "new")


def test_what_cannot_be_taken_back_is_kept_and_named(pair, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left")
    with monkeypatch.context() as patch:
        failing_at(patch, {2: full, 3: full})
        with pytest.raises(OSError, match=r"files are in .*\.partial-.*, move them back") as caught:
            write(pair)
    (kept,) = pair[0].parent.glob(".partial-*")
    assert str(kept) in str(caught.value)
    assert (kept / "previous-0" / "model.xml").read_text() == "old"


def test_a_folder_with_other_files_is_refused_before_anything_moves(pair):
    folder, file = pair
    file.unlink()
    file.mkdir()
    (file / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"net\.openvino\.json is a folder that holds thesis"):
        write(pair)
    assert (folder / "model.xml").read_text() == "old"
    assert (file / "thesis.txt").read_text() == "mine"


def test_a_file_that_was_not_written_is_named_and_nothing_is_lost(pair):
    missing = r"cannot write .*net\.openvino\.json \(No such file"
    with pytest.raises(OSError, match=missing):  # noqa: PT012 - the block is what is tested
        with replacing_all(pair) as (folder, _file):
            folder.mkdir()
            (folder / "model.xml").write_text("new")
    assert held(pair) == ("old", "old")


def test_only_files_of_one_folder(tmp_path):
    for targets in ((), (tmp_path / "a", tmp_path / "b" / "c")):
        with pytest.raises(ValueError, match="cannot be replaced together"):
            with replacing_all(targets):
                pass
