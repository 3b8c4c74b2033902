"""`deblur-run` as a user calls it, on real files; the network is a stand-in that inverts."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.artifact import TensorSpec
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.pictures.read import read_picture
from PIL import Image


class Inverter(Runner):
    """Returns the negative, so that a picture which was not deblurred shows."""

    def _open(self):
        pass

    def _infer(self, image):
        time.sleep(0.002)
        return -image


@pytest.fixture
def opened(monkeypatch):
    """Calls of open_runner; ``opened.norm`` and ``opened.size`` set what the artifact is."""
    calls = SimpleNamespace(list=[], norm="frozen", size=None)

    def open_runner(path, *, threads, device):
        calls.list.append((path, threads, device))
        manifest = SimpleNamespace(
            size_multiple=32,
            receptive_radius_px=20 if calls.norm == "frozen" else None,
            norm=calls.norm,
            input=TensorSpec("image", (1, 3, *(calls.size or ("height", "width"))), "float32"),
        )
        return Inverter(Path(path), manifest, threads=threads or 1, device=device)

    monkeypatch.setattr(cli, "open_runner", open_runner)
    monkeypatch.setattr(cli, "check_artifact", lambda path: None)
    return calls


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(name, seed=0, **options):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed=seed)).save(path, **options)
    return path


def run(*argv):
    return cli.main(["model.onnx", *map(str, argv)])


def files(folder="."):
    return sorted(str(p) for p in Path(folder).rglob("*") if p.is_file())


# --- it works ---


def test_one_file_to_one_file(here, opened, capsys):
    save("a.png")
    assert run("a.png", "-o", "b.png", "--threads", 3, "--device", "cuda") == 0
    np.testing.assert_array_equal(read_picture("b.png").pixels, 255 - pixels())
    assert opened.list == [("model.onnx", 3, "cuda")]
    out, err = capsys.readouterr()
    assert err == ""
    line = out.split()
    assert line[:4] == ["a.png", "->", "b.png", "20x30"]
    assert line[5:8] == ["ms", "inference", "+"]
    assert out.endswith(" ms around it\n")
    assert files() == ["a.png", "b.png"]


def test_one_file_into_a_new_folder(here, opened):
    save("a.jpg")
    assert run("a.jpg", "-o", "out") == 0
    assert files() == ["a.jpg", "out/a.jpg"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_with_a_dot_in_its_name(here, opened, existing):
    save("a.png")
    if existing:
        Path("run.2").mkdir()
    assert run("a.png", "-o", "run.2" if existing else "run.2/") == 0
    assert files() == ["a.png", "run.2/a.png"]


def test_a_folder_is_read_flat_or_recursively(here, opened):
    save("in/b.png", 1)
    save("in/deep/a.jpg", 2)
    Path("in/notes.txt").write_text("no picture")
    assert run("in", "-o", "flat") == 0
    assert files("flat") == ["flat/b.png"]
    assert run("in", "-o", "tree", "--recursive") == 0
    assert files("tree") == ["tree/b.png", "tree/deep/a.jpg"]


def test_results_inside_the_input_folder_are_not_read_again(here, opened):
    save("in/a.png")
    for _ in range(2):
        assert run("in", "-o", "in/out", "--recursive", "--force") == 0
    assert files() == ["in/a.png", "in/out/a.png"]


def test_patterns_are_expanded_and_doubles_dropped(here, opened):
    save("in/a.png", 1)
    save("in/b.png", 2)
    assert run("in/*.png", "in/a.png", "in", "-o", "out") == 0
    assert files("out") == ["out/a.png", "out/b.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_another_format(here, opened, suffix):
    save("a.bmp")
    assert run("a.bmp", "-o", "out", "--format", suffix) == 0
    assert files("out") == [f"out/a.{suffix}"]
    assert read_picture(f"out/a.{suffix}").format == {"jpg": "JPEG", "tif": "TIFF"}.get(
        suffix, suffix.upper()
    )


def test_side_by_side(here, opened):
    save("a.png")
    assert run("a.png", "-o", "out", "--side-by-side") == 0
    assert files("out") == ["out/a.png", "out/a_side_by_side.png"]
    both = read_picture("out/a_side_by_side.png").pixels
    assert both.shape == (20, 64, 3)
    np.testing.assert_array_equal(both[:, :30], pixels())
    assert (both[:, 30:34] == 255).all()
    np.testing.assert_array_equal(both[:, 34:], 255 - pixels())


def test_alpha_is_kept_and_not_deblurred(here, opened):
    rgba = np.dstack([pixels(), pixels(seed=5)[..., 0]])
    Image.fromarray(rgba).save("a.png")
    assert run("a.png", "-o", "b.png") == 0
    picture = read_picture("b.png")
    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])
    np.testing.assert_array_equal(picture.pixels, 255 - pixels())


def test_quality_reaches_the_writer(here, opened):
    save("a.png")
    assert run("a.png", "-o", "low.jpg", "--quality", 10) == 0
    assert run("a.png", "-o", "high.jpg") == 0
    assert Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size / 2


def test_json_tells_times_tiles_and_failures(here, opened, capsys):
    Image.fromarray(pixels(100, 100)).save("a.png")
    Path("bad.png").touch()
    argv = ("a.png", "bad.png", "-o", "out", "--json", "--tile", "64x64", "--overlap", 32)
    assert run(*argv) == 1
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert body["artifact"] == "model.onnx"
    assert body["ran_on"] == "cpu, 1 threads, fp32"
    assert body["failures"] == [
        {"input": "bad.png", "reason": "bad.png: the file is empty; copy it again"}
    ]
    (done,) = body["files"]
    assert (done["input"], done["output"]) == ("a.png", "out/a.png")
    assert (done["height"], done["width"], done["bits"], done["tiles"]) == (100, 100, 8, 9)
    assert done["side_by_side"] is None
    assert done["remarks"] == []
    assert done["infer_ms"] >= 9 * 2
    parts = done["decode_ms"] + done["convert_ms"] + done["encode_ms"]
    assert done["around_ms"] == pytest.approx(parts, abs=0.01)
    assert min(done["decode_ms"], done["convert_ms"], done["encode_ms"]) > 0
    assert "1 of 2 pictures failed" in err


def test_full_overlap_and_paper_reach_the_tiling(here, opened, capsys):
    Image.fromarray(pixels(200, 200)).save("a.png")
    assert run("a.png", "-o", "b.png", "--json", "--tile", "96x96", "--overlap", "full") == 0
    # 2 * 20 px, rounded up, leave steps of 32 px: (224 - 96) / 32 + 1 = 5
    assert json.loads(capsys.readouterr().out)["files"][0]["tiles"] == 25
    assert run("a.png", "-o", "c.png", "--protocol", "paper") == 0
    assert (255 - pixels(200, 200).astype(int) - read_picture("c.png").pixels).max() == 1


def test_remarks_go_to_standard_error(here, opened, capsys):
    Image.fromarray(pixels()).convert("CMYK").save("a.jpg")
    assert run("a.jpg", "-o", "b.jpg") == 0
    assert capsys.readouterr().err == "a.jpg: converted from CMYK to sRGB\n"


def test_live_norms_in_tiles_are_remarked_on(here, opened, capsys):
    opened.norm, opened.size = "live", (32, 32)
    save("a.png")
    assert run("a.png", "-o", "b.png") == 0
    assert capsys.readouterr().err == ""
    Image.fromarray(pixels(64, 32)).save("c.png")
    assert run("c.png", "-o", "d.png") == 0
    assert "cut into 2 tiles, each with its own live statistics" in capsys.readouterr().err


# --- a run goes on ---


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


# --- refusals ---


def refused(capsys, *argv):
    assert run(*argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("deblur-run: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("no.png", "-o", "out"), "no.png: no such file or folder"),
        (("no*.png", "-o", "o"), "no*.png: matches no .jpg/.jpeg/.png/.webp/.tif/.tiff/.bmp file"),
        (
            ("empty", "-o", "out"),
            "empty: no .jpg/.jpeg/.png/.webp/.tif/.tiff/.bmp in this folder "
            "(sub-folders are read with --recursive)",
        ),
        (
            ("a.png", "-o", "a.png"),
            "a.png: the output would replace the input; choose another -o or add --force",
        ),
        (
            ("a.png", "-o", "."),
            "a.png: the output would replace the input; choose another -o or add --force",
        ),
        (
            ("a.png", "-o", "b.png"),
            "a.png: b.png exists already; choose another name or add --force",
        ),
        (
            ("a.png", "b.png", "-o", "c.png"),
            "c.png names a file, but there are 2 inputs; name a folder (with a slash at its end)",
        ),
        (("a.png", "-o", "c.gif"), "a.png: cannot write '.gif' files; choose one with --format"),
        (("a.gif", "-o", "out"), "a.gif: cannot write '.gif' files; choose one with --format"),
        (("a.png", "-o", "plain"), "plain is a file, not a folder; choose another -o"),
        (
            ("a.png", "-o", "c.jpg", "--format", "png"),
            "c.jpg does not end in .png, which --format asks for",
        ),
        (("text.png", "-o", "out"), "text.png: not a JPEG, PNG, WebP, TIFF or BMP picture, or its "
         "header is damaged; convert it to one of these"),
        (
            ("a.png", "-o", "out", "--tile", "30x32"),
            "a.png: tile sides must be multiples of 32, not 30x32; take 32x32",
        ),
    ],
)  # fmt: skip
def test_wrong_names_are_refused_on_one_line(here, opened, capsys, argv, message):
    save("a.png")
    save("b.png")
    save("a.gif")
    Path("empty").mkdir()
    Path("plain").write_text("")
    Path("text.png").write_text("hello")
    before = files()
    assert refused(capsys, *argv) == message
    assert files() == before


def test_two_inputs_with_one_output_are_refused_before_work(here, opened, capsys):
    save("x/a.png")
    save("y/a.png")
    message = refused(capsys, "x", "y", "-o", "out")
    assert message == (
        f"x/a.png and y/a.png would both be written to {here}/out/a.png; "
        "run them into different folders"
    )
    save("x/a.jpg")
    assert "would both be written to" in refused(capsys, "x", "-o", "out", "--format", "webp")
    assert opened.list == []
    assert not Path("out").exists()


def test_an_output_that_is_another_input_is_refused_even_with_force(here, opened, capsys):
    save("a.png")
    save("a_side_by_side.png")
    message = refused(capsys, "a.png", "a_side_by_side.png", "-o", ".", "--side-by-side", "--force")
    assert message == (
        f"the output of a.png would replace the input {here}/a_side_by_side.png; choose another -o"
    )


def test_a_missing_artifact(here, capsys):
    save("a.png")
    assert refused(capsys, "a.png", "-o", "out") == (
        "model.onnx: no such file; make one with deblur-export"
    )


def test_an_output_folder_that_cannot_be_made(here, opened, capsys):
    save("a.png")
    Path("plain").write_text("")
    assert "cannot write into plain/out" in refused(capsys, "a.png", "-o", "plain/out/")
    assert opened.list == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("a.png",), "the following arguments are required: -o/--output"),
        (("a.png", "-o", "b", "--quality", "0"), "quality goes from 1 to 100, not 0"),
        (("a.png", "-o", "b", "--threads", "-1"), "'-1' is not a whole number"),
        (("a.png", "-o", "b", "--threads", "x"), "'x' is not a whole number, 0 or more"),
        (("a.png", "-o", "b", "--tile", "64"), "'64' is not HEIGHTxWIDTH, for example 736x1280"),
        (("a.png", "-o", "b", "--overlap", "all"), "'all' is not a number of pixels or 'full'"),
        (("a.png", "-o", "b", "--format", "gif"), "invalid choice: 'gif'"),
        (("a.png", "-o", "b", "--device", "tpu"), "invalid choice: 'tpu'"),
        (("a.png", "-o", "b", "--protocol", "zero"), "invalid choice: 'zero'"),
    ],
)
def test_wrong_usage_exits_2(here, capsys, argv, message):
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_loads_no_library():
    code = (
        "import sys\n"
        "from edgedeblur.runtimes.cli import build_parser\n"
        "build_parser().format_help()\n"
        "heavy = {'cv2', 'PIL', 'tifffile', 'rich', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- what else may go wrong around a run ---


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


def test_a_wrong_artifact_is_told_even_if_no_picture_is_ready(here, capsys):
    assert run("gone.png", "-o", "out") == 1
    err = capsys.readouterr().err
    assert "gone.png: no such file" in err
    assert "model.onnx: no such file; make one with deblur-export" in err


def test_a_library_error_in_one_picture_does_not_stop_the_others(here, opened, monkeypatch, capsys):
    import cv2
    from edgedeblur.runtimes.pictures import batch

    real = batch.read_picture

    def read(path):
        if path.name == "a.png":
            raise cv2.error("OpenCV(4) error: (-4:Insufficient memory) Failed to allocate")
        if path.name == "b.png":
            raise cv2.error("OpenCV(4) error: something else")
        return real(path)

    monkeypatch.setattr(batch, "read_picture", read)
    for name in "abc":
        save(f"in/{name}.png")
    assert run("in", "-o", "out") == 1
    assert files("out") == ["out/c.png"]
    err = capsys.readouterr().err
    assert "in/a.png: OpenCV(4) error: (-4:Insufficient memory)" in err
    assert "out of memory" in err
    assert "in/b.png: OpenCV(4) error: something else (cv2.error)" in err


def test_a_mistake_of_ours_keeps_its_traceback(here, opened, monkeypatch):
    from edgedeblur.runtimes.pictures import batch

    monkeypatch.setattr(batch, "read_picture", lambda path: {}["ours"])
    save("a.png")
    with pytest.raises(KeyError):
        run("a.png", "-o", "out")


def _script(here, *, shell):
    """Runs the real command under a shell, with a runner that needs no artifact."""
    for name in ("a", "b", "c"):
        save(f"in/{name}.png")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r});"
        "from tests.runtimes.cli_run import test_outputs as t; from edgedeblur.runtimes import cli;"
        "from types import SimpleNamespace as N; from pathlib import Path;"
        "m = N(size_multiple=32, receptive_radius_px=20, norm='frozen',"
        " input=t.TensorSpec('image', (1, 3, 'height', 'width'), 'float32'));"
        "cli.open_runner = lambda path, *, threads, device:"
        " t.Inverter(Path(path), m, threads=1, device='cpu');"
        "sys.exit(cli.main(['model.onnx', *sys.argv[1:]]))"
    )
    Path("run.py").write_text(code)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(run=f"{sys.executable} run.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_reader_that_goes_away_does_not_stop_the_run(here):
    done = _script(here, shell="{run} in -o out | true")
    assert files("out") == ["out/a.png", "out/b.png", "out/c.png"]
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(here, closed):
    done = _script(here, shell="{run} in -o out " + closed)
    assert done.returncode == 0
    assert files("out") == ["out/a.png", "out/b.png", "out/c.png"]
    assert "Traceback" not in done.stderr
    for name in "abc":  # nothing was printed into a picture that got the closed stream's number
        np.testing.assert_array_equal(read_picture(f"out/{name}.png").pixels, 255 - pixels())


def test_names_that_the_terminal_cannot_show(here):
    save("in/caf\u00e9.png")
    done = _script(here, shell="PYTHONIOENCODING=ascii {run} in -o out")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9.png" in done.stdout
