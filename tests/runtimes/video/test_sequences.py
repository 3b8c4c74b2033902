"""Image sequences in and out."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.metadata import Picture
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.write import write_picture
from edgedeblur.runtimes.video.reader import probe

from tests.runtimes.video.support import frames_of, make_clip, run, smooth, times_of

FRAMES = [smooth(shift=10 * number) for number in range(9)]


def save(numbers, frames=FRAMES, folder="in"):
    Path(folder).mkdir()
    for number, pixels in zip(numbers, frames, strict=False):
        write_picture(Picture(pixels), f"{folder}/f_{number:04d}.png")


def pictures(folder):
    return [read_picture(path).pixels for path in sorted(Path(folder).iterdir())]


def test_pictures_become_pictures_with_their_numbers(opened):
    save(range(7, 16))
    assert run("in/f_%04d.png", "-o", "out/g_%03d.png") == 0
    names = [path.name for path in sorted(Path("out").iterdir())]
    assert names == [f"g_{number:03d}.png" for number in range(7, 16)]
    for before, after in zip(FRAMES, pictures("out"), strict=True):
        np.testing.assert_array_equal(after, before)


def test_sixteen_bits_stay(opened):
    deep = [frame.astype(np.uint16) * 250 + 7 for frame in FRAMES[:3]]
    save(range(3), deep)
    assert run("in/f_%04d.png", "-o", "out/f_%04d.png") == 0
    for before, after in zip(deep, pictures("out"), strict=True):
        np.testing.assert_array_equal(after, before)
    assert run("in/f_%04d.png", "-o", "out.mkv", "--codec", "ffv1") == 0
    assert probe(Path("out.mkv")).format == "yuv420p10le"


def test_pictures_become_a_clip(opened):
    save(range(9))
    assert run("in/f_%04d.png", "-o", "out.mp4", "--fps", "30000/1001", "--crf", "5") == 0
    assert times_of("out.mp4") == pytest.approx([n * 1001 / 30000 for n in range(9)], abs=1e-6)
    assert probe(Path("out.mp4")).rate == Fraction(30000, 1001)
    for before, after in zip(FRAMES, frames_of("out.mp4"), strict=True):
        assert np.abs(after.astype(int) - before).mean() < 3


def test_a_clip_becomes_pictures_that_are_upright(opened):
    make_clip("in.mp4", FRAMES, rotation=90)
    assert run("in.mp4", "-o", "out/f_%05d.png", "--start", "0.1") == 0
    found = pictures("out")
    assert min(path.name for path in Path("out").iterdir()) == "f_00001.png"
    for after, coded in zip(found, frames_of("in.mp4")[3:], strict=True):
        np.testing.assert_array_equal(after, coded.transpose(1, 0, 2)[::-1])


def test_existing_pictures_stay_unless_resumed(opened, capsys):
    save(range(9))
    Path("out").mkdir()
    write_picture(Picture(FRAMES[5]), "out/f_0000.png")
    assert run("in/f_%04d.png", "-o", "out/f_%04d.png") == 1
    assert "out/f_0000.png exists already" in capsys.readouterr().err
    assert run("in/f_%04d.png", "-o", "out/f_%04d.png", "--force") == 0
    np.testing.assert_array_equal(pictures("out")[0], FRAMES[0])


def test_a_broken_picture_ends_the_run_and_resume_goes_on(opened, capsys):
    save(range(9))
    good = Path("in/f_0005.png").read_bytes()
    Path("in/f_0005.png").write_bytes(good[:200])
    assert run("in/f_%04d.png", "-o", "out/f_%04d.png") == 1
    err = capsys.readouterr().err
    assert err.startswith("deblur-run: error: in/f_0005.png: damaged or cut off")
    assert err.endswith("; 5 frames are in out/f_%04d.png; --resume goes on\n")
    Path("in/f_0005.png").write_bytes(good)
    first = Path("out/f_0000.png").stat().st_mtime_ns
    assert run("in/f_%04d.png", "-o", "out/f_%04d.png", "--resume") == 0
    assert " 9 frames, 5 of them earlier " in capsys.readouterr().out
    assert Path("out/f_0000.png").stat().st_mtime_ns == first
    for before, after in zip(FRAMES, pictures("out"), strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("numbers", "frames", "line"),
    [
        ([], [], "in/f_%04d.png: no such pictures"),
        ([0, 1, 3], FRAMES, "in/f_0002.png: missing between others; renumber the pictures"),
    ],
)
def test_missing_pictures(opened, capsys, numbers, frames, line):
    save(numbers, frames)
    assert run("in/f_%04d.png", "-o", "out.mp4") == 1
    assert capsys.readouterr().err == f"deblur-run: error: {line}\n"


def test_pictures_of_two_sizes(opened, capsys):
    save(range(3), [FRAMES[0], FRAMES[1], smooth(64, 64)])
    assert run("in/f_%04d.png", "-o", "out.mp4") == 1
    assert "in/f_0002.png: 64x64, but the first picture has 160x96; a clip has one size" in (
        capsys.readouterr().err
    )
    assert len(frames_of("out.partial.mp4")) == 2
