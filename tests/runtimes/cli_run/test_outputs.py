"""What `deblur-run` writes and prints for each option."""

import json
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.read import read_picture
from PIL import Image

from tests.runtimes.cli_run.support import files, pixels, run, save


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
    assert out.endswith(" ms overhead\n")
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


def test_json_has_times_tiles_and_failures(here, opened, capsys):
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
