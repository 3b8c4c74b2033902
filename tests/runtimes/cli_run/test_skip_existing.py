"""`deblur-run --skip-existing`: an interrupted run goes on where it stopped."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.read import read_picture

from tests.runtimes.cli_run.support import Inverter, files, pixels, refused, run, save


@pytest.fixture
def folder(here, opened):
    for seed, name in enumerate("abc"):
        save(f"in/{name}.png", seed)


def interrupt_at(monkeypatch, number):
    """Ctrl-C while picture ``number``, counted from 0, is inferred."""
    calls, infer = [], Inverter._infer

    def interrupted(self, image):
        calls.append(image)
        if len(calls) == number + 1:
            raise KeyboardInterrupt
        return infer(self, image)

    monkeypatch.setattr(Inverter, "_infer", interrupted)


def test_an_interrupted_run_goes_on(folder, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert run("in", "-o", "out") == 130
    assert files("out") == ["out/a.png", "out/b.png"]
    before = [Path(f"out/{name}.png").stat().st_mtime_ns for name in "ab"]
    capsys.readouterr()
    assert run("in", "-o", "out", "--skip-existing") == 0
    out, err = capsys.readouterr()
    done, skipped = out.splitlines()
    assert done.startswith("in/c.png -> out/c.png 20x30 ")
    assert (skipped, err) == ("2 skipped (output exists)", "")
    np.testing.assert_array_equal(read_picture("out/c.png").pixels, 255 - pixels(seed=2))
    assert [Path(f"out/{name}.png").stat().st_mtime_ns for name in "ab"] == before


def test_a_finished_run_opens_no_model(folder, opened, capsys):
    assert run("in", "-o", "out") == 0
    capsys.readouterr()
    assert run("in", "-o", "out", "--skip-existing") == 0
    assert capsys.readouterr().out == "3 skipped (output exists)\n"
    assert len(opened.list) == 1


def test_json_lists_what_was_skipped(folder, capsys):
    save("out/b.png", 9)
    assert run("in", "-o", "out", "--skip-existing", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["skipped"] == [{"input": "in/b.png", "output": "out/b.png"}]
    assert [done["input"] for done in body["files"]] == ["in/a.png", "in/c.png"]
    assert body["failures"] == []
    assert run("in", "-o", "out", "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == []


def test_another_format_is_another_output(folder, capsys):
    save("out/a.png")
    assert run("in", "-o", "out", "--format", "webp", "--skip-existing") == 0
    assert "skipped" not in capsys.readouterr().out
    assert files("out") == ["out/a.png", "out/a.webp", "out/b.webp", "out/c.webp"]


def test_an_input_is_not_its_own_output(folder, capsys):
    assert run("in", "-o", "in", "--skip-existing") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "3 of 3 pictures failed" in err
    assert "in/a.png: the output would replace the input" in err


def test_half_of_a_pair_is_neither_skipped_nor_overwritten(folder, capsys):
    before = save("out/a.png", 9).read_bytes()
    assert run("in/a.png", "-o", "out/", "--side-by-side", "--skip-existing") == 1
    assert capsys.readouterr().err == (
        "deblur-run: error: in/a.png: out/a.png exists but out/a_side_by_side.png does not; "
        "delete out/a.png to make both again\n"
    )
    assert Path("out/a.png").read_bytes() == before


def test_a_folder_in_the_place_of_an_output_is_not_skipped(folder, capsys):
    Path("out/a.png").mkdir(parents=True)
    message = refused(capsys, "in/a.png", "-o", "out/", "--skip-existing")
    assert message == ("in/a.png: out/a.png exists already; choose another name or add --force")


def test_a_side_by_side_picture_that_fails_leaves_no_output_alone(folder, monkeypatch):
    from edgedeblur.runtimes.pictures import batch

    real = batch.encode_picture

    def encode(picture, path, quality=95):
        if path.name == "b_side_by_side.png":
            raise ValueError(f"{path}: no room")
        return real(picture, path, quality)

    monkeypatch.setattr(batch, "encode_picture", encode)
    assert run("in", "-o", "out", "--side-by-side") == 1
    assert files("out") == [
        "out/a.png", "out/a_side_by_side.png", "out/c.png", "out/c_side_by_side.png",
    ]  # fmt: skip


def test_it_excludes_force(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        run("in", "-o", "out", "--force", "--skip-existing")
    assert caught.value.code == 2
    assert "argument --skip-existing: not allowed with argument --force" in capsys.readouterr().err


def test_old_temporary_folders_are_removed(folder, capsys):
    for name, hours in (("aaaaaaa1", 25), ("aaaaaaa2", 23)):
        kept = Path("out/.partial-" + name)
        kept.mkdir(parents=True)
        (kept / "a.png").write_bytes(b"half a picture")
        changed = time.time() - hours * 3600
        os.utime(kept / "a.png", (changed, changed))
        os.utime(kept, (changed, changed))
    assert run("in", "-o", "out") == 0
    assert capsys.readouterr().err == "out: removed temporary files of killed runs (1)\n"
    assert files("out") == [
        "out/.partial-aaaaaaa2/a.png", "out/a.png", "out/b.png", "out/c.png",
    ]  # fmt: skip
