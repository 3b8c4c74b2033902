"""Only what `replacing` and `replacing_all` left behind, and only when it is old, is removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgedeblur.runtimes.files import replacing
from edgedeblur.runtimes.pictures.leftovers import DAY_S, remove_leftovers

NAME = ".partial-ab_3xyz9"


def age(path: Path, seconds: float) -> Path:
    """Set the times of a path and of everything below it, the folders last."""
    changed = time.time() - seconds
    inside = [] if path.is_symlink() else sorted(path.rglob("*"), reverse=True)
    for each in (*inside, path):
        os.utime(each, (changed, changed), follow_symlinks=False)
    return path


def leftover(folder: Path, name: str = NAME, held: str = "a.png") -> Path:
    path = folder / name
    path.mkdir()
    (path / held).write_bytes(b"half a picture")
    return path


def write(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "model.xml").write_text("new")


def test_the_leftovers_of_a_killed_process_are_removed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from edgedeblur.runtimes.files import replacing;"
        "context = replacing(Path(sys.argv[1])); context.__enter__().write_bytes(b'half');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    assert subprocess.run(argv, check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert [p.name for p in left.iterdir()] == ["a.png"]
    assert remove_leftovers(tmp_path) == []  # it may belong to a run that is going on
    age(left, DAY_S + 60)
    assert remove_leftovers(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


def test_the_age_is_that_of_the_youngest_file_inside(tmp_path):
    left = age(leftover(tmp_path), DAY_S + 60)
    age(left / "a.png", DAY_S - 60)
    assert remove_leftovers(tmp_path) == []
    age(left / "a.png", DAY_S + 60)
    assert remove_leftovers(tmp_path) == [left]


def test_a_temporary_file_is_removed_too(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"half a checkpoint")
    age(path, DAY_S + 60)
    assert remove_leftovers(tmp_path) == [path]
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ["partial-ab_3xyz9", ".partial-", ".partial-ab_3xyz", ".partial-ab_3xyz90",
             ".partial-AB_3XYZ9", ".partial-ab_3xyz9.bak", "x.partial-ab_3xyz9"],
)  # fmt: skip
def test_other_names_stay(tmp_path, name):
    left = age(leftover(tmp_path, name), DAY_S + 60)
    assert remove_leftovers(tmp_path) == []
    assert (left / "a.png").exists()


def test_links_stay_and_so_do_their_targets(tmp_path):
    target = tmp_path / "album"
    target.mkdir()
    (target / "a.png").touch()
    link = tmp_path / NAME
    link.symlink_to(target)
    outer = leftover(tmp_path, ".partial-00000000")
    (outer / "link").symlink_to(target)
    for path in (target, link, outer):
        age(path, DAY_S + 60)
    assert remove_leftovers(tmp_path) == []
    assert link.is_symlink()
    assert (outer / "link").is_symlink()
    assert (target / "a.png").exists()


def test_older_files_that_could_not_be_moved_back_stay(tmp_path, monkeypatch):
    """`replacing_all` says where they are when taking back a failed rename fails as well."""
    target = tmp_path / "net.openvino"
    target.mkdir()
    (target / "model.xml").write_text("old")
    calls, replace = [], Path.replace

    def rename(path, destination):
        calls.append(path)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        return replace(path, destination)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", rename)
        with pytest.raises(OSError, match="move them back by hand"):
            write(target)
    (left,) = tmp_path.iterdir()
    age(left, 10 * DAY_S)
    assert remove_leftovers(tmp_path) == []
    assert (left / "previous-0" / "model.xml").read_text() == "old"


def test_a_missing_folder_is_empty(tmp_path):
    assert remove_leftovers(tmp_path / "nowhere") == []
