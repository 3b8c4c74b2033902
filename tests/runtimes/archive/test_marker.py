"""What a folder's outputs were made with, and when they count as finished; no Ray."""

import os
from pathlib import Path

import pytest
from edgedeblur.runtimes.archive.marker import MARKER, Fingerprint, claim_folder
from edgedeblur.runtimes.archive.stores import LocalStore

ONE = Fingerprint("a" * 64, None, 95, "edge", None, 128)
OTHER = Fingerprint("b" * 64, None, 95, "edge", None, 128)


def claim(folder, fingerprint=ONE, *, force=False, waits=None):
    store = LocalStore()
    return claim_folder(
        store,
        str(folder),
        fingerprint,
        force=force,
        there=store.listing(str(folder)),
        wanted=lambda name: name.endswith(".png"),
        sleep=(waits if waits is not None else []).append,
    )


def test_the_same_run_goes_on(tmp_path):
    since_s = claim(tmp_path)
    text = (tmp_path / MARKER).read_text()
    (tmp_path / "a.png").write_bytes(b"")
    assert claim(tmp_path) == since_s == (tmp_path / MARKER).stat().st_mtime
    assert (tmp_path / "a.png").stat().st_mtime >= since_s
    assert (tmp_path / MARKER).read_text() == text


def test_another_artifact_is_refused_and_named(tmp_path):
    claim(tmp_path)
    with pytest.raises(FileExistsError, match="artifact_sha256 aaaaaaaaaaaa, not bbbbbbbbbbbb"):
        claim(tmp_path, OTHER)
    lower = Fingerprint("a" * 64, None, 90, "edge", None, 128)
    with pytest.raises(FileExistsError, match=r"quality 95, not 90.*--force"):
        claim(tmp_path, lower)
    tiled = Fingerprint("a" * 64, None, 95, "edge", (64, 96), 128)
    with pytest.raises(FileExistsError, match=r"tile None, not \[64, 96\]"):
        claim(tmp_path, tiled)


def test_outputs_of_unknown_making_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(FileExistsError, match=rf"a\.png exists already, and no {MARKER} says"):
        claim(tmp_path)
    assert not (tmp_path / MARKER).exists()
    (tmp_path / "a.png").rename(tmp_path / "a.txt")
    claim(tmp_path)


def test_force_makes_older_outputs_unfinished_even_if_it_is_killed(tmp_path):
    first_s = claim(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    os.utime(tmp_path / "a.png", (first_s + 5, first_s + 5))
    waits = []
    # The wait keeps them apart where a store tells whole seconds; here it is not waited.
    since_s = claim(tmp_path, OTHER, force=True, waits=waits)
    assert waits == [1.1]
    os.utime(tmp_path / MARKER, (first_s + 6, first_s + 6))
    # The killed run's continuation needs no --force, and takes only what was written since.
    assert claim(tmp_path, OTHER) == first_s + 6 > (tmp_path / "a.png").stat().st_mtime
    assert since_s <= first_s + 6
    with pytest.raises(FileExistsError):
        claim(tmp_path, ONE)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_marker(tmp_path, text):
    (tmp_path / MARKER).write_text(text)
    with pytest.raises(ValueError, match=rf"{MARKER}: damaged"):
        claim(tmp_path)
    claim(tmp_path, force=True)
    assert Path(tmp_path / MARKER).read_text() == ONE.to_text()
