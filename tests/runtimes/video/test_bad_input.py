"""Input that is not a good clip: one line each, and what was done stays playable."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.runtimes.video.support import add_sound, frames_of, make_clip, run, smooth

FRAMES = [smooth(shift=10 * number) for number in range(60)]


def refused(capsys, *argv, code=1):
    """The one line on standard error of a run that wrote nothing."""
    before = sorted(Path().iterdir())
    assert run(*argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert sorted(Path().iterdir()) == before
    return err.removeprefix("deblur-run: error: ").rstrip("\n")


def test_no_such_file(opened, capsys):
    assert refused(capsys, "in.mp4", "-o", "out.mp4") == "in.mp4: no such file"


def test_not_a_clip(opened, capsys):
    Path("in.mp4").write_bytes(b"not a clip" * 100)
    assert refused(capsys, "in.mp4", "-o", "out.mp4") == (
        "in.mp4: FFmpeg cannot open it (Invalid data found when processing input); if it was cut "
        "off, copy the file again"
    )


def test_cut_off_before_its_index(opened, capsys):
    make_clip("in.mp4", FRAMES)
    data = Path("in.mp4").read_bytes()
    Path("in.mp4").write_bytes(data[: len(data) // 2])
    assert "if it was cut off, copy the file again" in refused(capsys, "in.mp4", "-o", "out.mp4")


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4"])
def test_cut_off_in_the_middle(opened, capsys, name):
    options = {"crf": "1", "bf": "0", "g": "10"}
    make_clip("whole.mp4", FRAMES, options=options)
    with av.open("whole.mp4") as whole:
        flags = {"movflags": "faststart"} if name == "in.mp4" else {}
        with av.open(name, "w", container_options=flags) as out:
            stream = out.add_stream_from_template(whole.streams.video[0], opaque=True)
            for packet in whole.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) // 2])
    assert run(name, "-o", "out.mp4") == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "cut off after" in err or "damaged after frame" in err
    assert "frames are in out.partial.mp4; --resume goes on\n" in err
    assert not Path("out.mp4").exists()
    kept = frames_of("out.partial.mp4")
    assert 20 < len(kept) < 45
    for pixels, want in zip(kept[:20], FRAMES, strict=False):
        assert np.abs(pixels.astype(int) - want).mean() < 3


def test_no_frames(opened, capsys):
    with av.open("in.mkv", "w") as out:
        video = out.add_stream("libx264", rate=30)
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        add_sound(out, out.add_stream("aac", rate=48000), 1)
    assert refused(capsys, "in.mkv", "-o", "out.mp4") == "in.mkv: holds no frames"


def test_no_video_stream(opened, capsys):
    with av.open("in.mp4", "w") as out:
        add_sound(out, out.add_stream("aac", rate=48000), 1)
    assert refused(capsys, "in.mp4", "-o", "out.mp4") == "in.mp4: has no video stream, only audio"


def test_unknown_codec(opened, capsys):
    make_clip("in.mp4", FRAMES[:3])
    data = Path("in.mp4").read_bytes()
    assert data.count(b"avc1") >= 1
    Path("in.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    assert refused(capsys, "in.mp4", "-o", "out.mp4") == (
        "in.mp4: FFmpeg does not know the codec of its video stream; "
        "convert it to H.264 with the program that made it"
    )


def test_another_size_in_the_middle(opened, capsys):
    """Two clips one after the other in a transport stream, as receivers record them."""
    parts = []
    for number, size in enumerate([(96, 160), (64, 128)]):
        frames = [smooth(*size, shift=10 * shift) for shift in range(10)]
        make_clip(f"{number}.ts", frames, [(3000 * (10 * number + i)) for i in range(10)])
        parts.append(Path(f"{number}.ts").read_bytes())
    Path("in.ts").write_bytes(b"".join(parts))
    assert run("in.ts", "-o", "out.mp4") == 1
    assert re.fullmatch(
        r"deblur-run: error: in.ts: frames change from 160x96 to 128x64 after 0.3\d s; split it "
        r"there; 10 frames are in out.partial.mp4; --resume goes on\n",
        capsys.readouterr().err,
    )
    assert [frame.shape for frame in frames_of("out.partial.mp4")] == [(96, 160, 3)] * 10


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--start", "5"], "in.mp4: no frames in this part; check --start and --end"),
        (["--start", "0.2", "--end", "0.1"], "--end 0.1 is not after --start 0.2"),
        (["--crf", "60"], "--crf of h264 goes from 0 to 51, not 60"),
        (["--lossless", "--crf", "3"], "a lossless clip has no --crf; leave one of them out"),
        (["--codec", "ffv1"], "ffv1 is written to .mkv, not .mp4"),
        (
            ["--codec", "av1", "--lossless"],
            "av1 has no lossless mode here; use --codec h264|hevc|vp9|ffv1",
        ),
        (["--codec", "vp9", "--preset", "fast"], "vp9 takes no --preset; leave it out"),
        (["--fps", "30"], "in.mp4 has frame times of its own; --fps is for image sequences"),
    ],
)
def test_options_that_do_not_fit(opened, capsys, options, line):
    make_clip("in.mp4", FRAMES[:5])
    assert refused(capsys, "in.mp4", "-o", "out.mp4", *options) == line


def test_an_unknown_preset_is_one_line(opened, capsys):
    make_clip("in.mp4", FRAMES[:5])
    line = refused(capsys, "in.mp4", "-o", "out.mp4", "--preset", "snail")
    assert line.startswith("out.mp4.segments/segment_00000.mkv: FFmpeg cannot write it (")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["in.mp4", "-o", "o.mp4", "--format", "png"], "--format is for pictures only"),
        (["in.mp4", "-o", "o.mp4", "--skip-existing"], "--skip-existing is for pictures only"),
        (["a.png", "-o", "o.png", "--crf", "3"], "--crf is for clips only"),
        (["a.png", "-o", "o.png", "--resume"], "--resume is for clips only"),
        (["in.mp4", "b.mp4", "-o", "o"], "in.mp4 is a clip; clips are deblurred one a run"),
        (["a.png", "-o", "o.mp4"], "o.mp4 is a clip; give a clip, or pictures as a pattern"),
        (["in.mp4", "-o", "o.mp4", "--start", "1:2:3:4"], "'1:2:3:4' is not a time such as"),
        (["f_%02d.png", "-o", "o.mp4", "--fps", "0"], "'0' is not a rate such as 30"),
    ],
)
def test_wrong_usage(opened, capsys, argv, line):
    with pytest.raises(SystemExit) as ended:
        run(*argv)
    assert ended.value.code == 2
    assert line in capsys.readouterr().err


def test_the_output_is_not_the_input_nor_overwritten(opened, capsys):
    make_clip("in.mp4", FRAMES[:3])
    make_clip("out.mp4", FRAMES[:3])
    data = Path("out.mp4").read_bytes()
    assert refused(capsys, "in.mp4", "-o", "in.mp4", "--force").startswith(
        "in.mp4: the output would replace the input"
    )
    assert refused(capsys, "in.mp4", "-o", "out.mp4") == (
        "out.mp4 exists already; choose another name or add --force"
    )
    assert Path("out.mp4").read_bytes() == data


def test_without_pyav_the_extra_is_named(tmp_path):
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from edgedeblur.runtimes.cli import main\n"
        "sys.exit(main(['model.onnx', 'in.mp4', '-o', 'out.mp4']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("deblur-run: error: av cannot be imported")
    assert "pip install 'edgedeblur[video]'" in done.stderr
    assert done.stderr.count("\n") == 1
