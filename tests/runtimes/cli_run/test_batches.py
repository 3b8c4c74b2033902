"""Several pictures in one run: which are read, and what happens when one fails."""

from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.pictures.read import read_picture
from PIL import Image

from tests.runtimes.cli_run.support import Inverter, files, pixels, run, save


def test_a_bad_picture_does_not_stop_the_others(here, opened, capsys):
    save("in/a.jpg", 1)
    save("in/b.jpg", 2)
    save("in/c.jpg", 3)
    data = Path("in/b.jpg").read_bytes()
    Path("in/b.jpg").write_bytes(data[: len(data) - 30])
    assert run("in", "-o", "out") == 1
    assert files("out") == ["out/a.jpg", "out/c.jpg"]
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["in/a.jpg", "in/c.jpg"]
    first, second = err.splitlines()
    assert first == "deblur-run: error: 1 of 3 pictures failed"
    assert second.startswith("  in/b.jpg: damaged or cut off (image file is truncated")
    assert second.endswith("; copy the file again")


def test_existing_outputs_are_kept_without_force(here, opened, capsys):
    save("in/a.png", 1)
    save("in/b.png", 2)
    before = save("out/a.png", 9).read_bytes()
    assert run("in", "-o", "out") == 1
    assert Path("out/a.png").read_bytes() == before
    assert files("out") == ["out/a.png", "out/b.png"]
    assert capsys.readouterr().err.splitlines()[1] == (
        "  in/a.png: out/a.png exists already; choose another name or add --force"
    )
    assert run("in", "-o", "out", "--force") == 0
    np.testing.assert_array_equal(read_picture("out/a.png").pixels, 255 - pixels(seed=1))


def test_nothing_to_do_opens_no_model(here, opened):
    save("in/a.png", 1)
    save("in/b.png", 2)
    assert run("in", "-o", "in") == 1
    assert opened.list == []


def test_force_replaces_inputs(here, opened):
    save("in/a.png", 1)
    assert run("in", "-o", "in", "--force") == 0
    np.testing.assert_array_equal(read_picture("in/a.png").pixels, 255 - pixels(seed=1))


def test_one_bad_format_among_many(here, opened, capsys):
    Image.fromarray(np.dstack([pixels(), pixels()[..., 0]])).save("a.png")
    save("b.png")
    assert run("a.png", "b.png", "-o", "out", "--format", "jpg") == 1
    assert files("out") == ["out/b.jpg"]
    assert "  a.png: out/a.jpg: JPEG cannot hold transparency" in capsys.readouterr().err


def test_an_interrupt_leaves_no_partial_file(here, opened, monkeypatch, capsys):
    def interrupted(self, image):
        raise KeyboardInterrupt

    monkeypatch.setattr(Inverter, "_infer", interrupted)
    save("in/a.png")
    assert run("in", "-o", "out") == 130
    assert files("out") == []


def test_a_missing_file_among_several_does_not_stop_the_others(here, opened, capsys):
    save("a.png")
    save("b.png")
    assert run("a.png", "gone.png", "b.png", "-o", "out") == 1
    assert files("out") == ["out/a.png", "out/b.png"]
    err = capsys.readouterr().err
    assert "1 of 3 pictures failed" in err
    assert "gone.png: no such file or folder" in err


def test_a_link_that_leads_nowhere_is_listed(here, opened, capsys):
    save("in/a.png")
    Path("in/b.png").symlink_to("nowhere.png")
    assert run("in", "-o", "out") == 1
    assert files("out") == ["out/a.png"]
    assert "in/b.png" in capsys.readouterr().err


def test_a_link_and_its_target_are_two_pictures(here, opened):
    save("in/a.png")
    Path("in/b.png").symlink_to("a.png")
    assert run("in", "-o", "out") == 0
    assert files("out") == ["out/a.png", "out/b.png"]


def test_one_file_named_twice_is_done_once(here, opened):
    save("a.png")
    assert run("a.png", "./a.png", "-o", "out") == 0
    assert files("out") == ["out/a.png"]


def test_side_by_side_names_do_not_clash(here, opened):
    save("in/x.png")
    save("in/x.tif")
    save("in/y.png")
    assert run("in", "-o", "out", "--side-by-side") == 0
    assert files("out") == [
        "out/x.png",
        "out/x.png_side_by_side.png",
        "out/x.tif",
        "out/x.tif_side_by_side.png",
        "out/y.png",
        "out/y_side_by_side.png",
    ]


def test_a_library_error_in_one_picture_does_not_stop_the_others(here, opened, monkeypatch, capsys):
    import cv2
    from edgedeblur.runtimes.pictures import batch

    real = batch.read_bytes

    def read(path):
        if path.name == "a.png":
            raise cv2.error("OpenCV(4) error: (-4:Insufficient memory) Failed to allocate")
        if path.name == "b.png":
            raise cv2.error("OpenCV(4) error: something else")
        return real(path)

    monkeypatch.setattr(batch, "read_bytes", read)
    for name in "abc":
        save(f"in/{name}.png")
    assert run("in", "-o", "out") == 1
    assert files("out") == ["out/c.png"]
    err = capsys.readouterr().err
    assert "in/a.png: OpenCV(4) error: (-4:Insufficient memory)" in err
    assert "out of memory" in err
    assert "in/b.png: OpenCV(4) error: something else (cv2.error)" in err


def test_an_internal_error_keeps_its_traceback(here, opened, monkeypatch):
    from edgedeblur.runtimes.pictures import batch

    monkeypatch.setattr(batch, "read_bytes", lambda path: {}["ours"])
    save("a.png")
    with pytest.raises(KeyError):
        run("a.png", "-o", "out")


def test_results_may_go_into_a_folder_above_the_input(here, opened):
    save("shots/in/a.png")
    assert run("shots/in", "-o", "shots") == 0
    assert files() == ["shots/a.png", "shots/in/a.png"]


def test_memory_does_not_hold_results(here, opened, monkeypatch):
    """Without --json nothing keeps a finished picture's record."""
    import gc
    import weakref

    alive, real = [], cli._print_done

    def print_done(done):
        gc.collect()
        alive.append(sum(reference() is not None for reference in seen))
        seen.append(weakref.ref(done))
        real(done)

    seen = []
    monkeypatch.setattr(cli, "_print_done", print_done)
    for name in "abcd":
        save(f"in/{name}.png")
    assert run("in", "-o", "out") == 0
    assert max(alive) <= 1
    assert len(seen) == 4


def test_a_temporary_folder_of_another_run_is_not_read(here, opened):
    save("in/a.png")
    save("in/.partial-ab_3xyz9/b.png")
    assert run("in", "-o", "out", "--recursive") == 0
    assert files("out") == ["out/a.png"]
