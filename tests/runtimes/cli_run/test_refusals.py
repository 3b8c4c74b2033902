"""What `deblur-run` refuses before it deblurs anything, with the exact words."""

from pathlib import Path

import pytest

from tests.runtimes.cli_run.support import files, refused, run, save


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


def test_a_missing_artifact_is_reported_even_if_no_picture_is_ready(here, capsys):
    assert run("gone.png", "-o", "out") == 1
    err = capsys.readouterr().err
    assert "gone.png: no such file" in err
    assert "model.onnx: no such file; make one with deblur-export" in err


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
