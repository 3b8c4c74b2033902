"""Runs that end early: what is playable, what is left, and how they go on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.video.output import encoder
from edgedeblur.runtimes.video.output.segments import SegmentFolder, coding_delay

from tests.runtimes.video.support import (
    Identity,
    frames_of,
    make_clip,
    packets_of,
    run,
    smooth,
    times_of,
    uneven_times,
)

FRAMES = [smooth(shift=10 * number) for number in range(30)]
TIMES = [t / 90000 for t in uneven_times(30)]


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(encoder, "SEGMENT_FRAMES", 7)


class Fails(Runner):
    """Infers so many frames, then fails as an SDK does."""

    most = 17

    def _open(self):
        self.count = 0

    def _infer(self, image):
        self.count += 1
        if self.count > self.most:
            raise ValueError(f"{self.path}: the device was lost")
        return image.copy()


class Sends(Fails):
    """Gets a signal while it infers."""

    def _infer(self, image):
        self.count += 1
        if self.count == self.most:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return image.copy()


def check_frames(path, count):
    times = times_of(path)
    assert times == pytest.approx(TIMES[:count], abs=0.001)
    errors = [
        np.abs(a.astype(int) - b).mean()
        for a, b in zip(frames_of(path), FRAMES[:count], strict=True)
    ]
    assert max(errors) < 3


def test_an_error_leaves_a_playable_part_and_resume_goes_on(opened, capsys):
    make_clip("in.mp4", FRAMES, uneven_times(30), sound=True)
    opened.runner = Fails
    assert run("in.mp4", "-o", "out.mp4") == 1
    line = re.fullmatch(
        r"deblur-run: error: model.onnx: the device was lost; (\d+) frames are in "
        r"out.partial.mp4; --resume goes on\n",
        capsys.readouterr().err,
    )
    count = int(line[1])
    assert 15 <= count <= 17  # frames may overtake each other on their way to the network
    assert not Path("out.mp4").exists()
    check_frames("out.partial.mp4", count)
    sound = packets_of("out.partial.mp4")
    assert [p for p, _ in sound] == [p for p, _ in packets_of("in.mp4")][: len(sound)]
    # In a clip of uneven gaps a frame's own duration may differ from the gap after it.
    with av.open("in.mp4") as clip:
        last = list(clip.decode(video=0))[count - 1]
    end = TIMES[count - 1] + float(last.duration * last.time_base)
    assert sound[-1][1] == pytest.approx(end, abs=0.022)  # a packet is 21 ms long
    opened.runner = Identity
    assert run("in.mp4", "-o", "out.mp4", "--resume") == 0
    assert f" 30 frames, {count} of them earlier " in capsys.readouterr().out
    check_frames("out.mp4", 30)
    assert packets_of("out.mp4") == packets_of("in.mp4")
    assert sorted(p.name for p in Path().iterdir()) == ["in.mp4", "model.onnx", "out.mp4"]


def test_an_interrupt_finishes_the_frames_at_hand(opened, capsys):
    make_clip("in.mp4", FRAMES, uneven_times(30), sound=True)
    opened.runner = Sends
    before = signal.getsignal(signal.SIGINT)
    assert run("in.mp4", "-o", "out.mp4", "--json") == 130
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capsys.readouterr()
    clip = json.loads(out)["clip"]
    assert (clip["complete"], clip["interrupted"], clip["written"]) == (
        False, True, "out.partial.mp4",
    )  # fmt: skip
    assert 17 <= clip["frames"] < 30
    assert err == (
        f"deblur-run: interrupted; {clip['frames']} frames are in out.partial.mp4; "
        "--resume goes on\n"
    )
    check_frames("out.partial.mp4", clip["frames"])
    opened.runner = Identity
    assert run("in.mp4", "-o", "out.mp4", "--resume") == 0
    check_frames("out.mp4", 30)
    assert not Path("out.partial.mp4").exists()


KILLED = """
import sys
from tests.runtimes.video.test_interrupted import killed
killed()
"""


def killed():
    """Run in a process of its own, which ends without warning in the 18th frame."""
    from edgedeblur.runtimes.video import command

    from tests.runtimes.cli_run.support import manifest

    class Dies(Fails):
        def _infer(self, image):
            self.count += 1
            if self.count == self.most + 1:
                time.sleep(0.3)  # the frames before are written meanwhile
                os.kill(os.getpid(), signal.SIGKILL)
            return image.copy()

    command.open_runner = lambda path, **_: Dies(Path(path), manifest(), threads=1, device="cpu")
    command.check_artifact = lambda path: None
    encoder.SEGMENT_FRAMES = 7
    run("in.mp4", "-o", "out.mp4")


def test_a_killed_run_leaves_nothing_under_the_name_and_goes_on_from_its_segments(opened, capsys):
    make_clip("in.mp4", FRAMES, uneven_times(30), sound=True)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list(Path().glob("out*.mp4"))
    folder = SegmentFolder(Path("out.mp4"))
    assert [len(segment.pts) for segment in folder.finished()] == [7, 7]
    check_frames(folder.new(0), 7)
    assert run("in.mp4", "-o", "out.mp4") == 1
    assert "out.mp4.segments holds an unfinished run; add --resume" in capsys.readouterr().err
    assert run("in.mp4", "-o", "out.mp4", "--resume") == 0
    assert " 30 frames, 14 of them earlier " in capsys.readouterr().out
    check_frames("out.mp4", 30)
    assert packets_of("out.mp4") == packets_of("in.mp4")


def test_only_the_same_run_is_resumed(opened, capsys):
    make_clip("in.mp4", FRAMES)
    opened.runner = Fails
    assert run("in.mp4", "-o", "out.mp4") == 1
    opened.runner = Identity
    capsys.readouterr()
    assert run("in.mp4", "-o", "out.mp4", "--resume", "--crf", "20") == 1
    assert "out.mp4.segments was made with another coding; resume with" in capsys.readouterr().err
    Path("model.onnx").write_bytes(b"other weights")
    assert run("in.mp4", "-o", "out.mp4", "--resume") == 1
    assert "was made with another artifact" in capsys.readouterr().err
    assert run("in.mp4", "-o", "out.mp4", "--force") == 0
    assert len(frames_of("out.mp4")) == 30


def test_a_full_disk_is_one_line_and_keeps_the_segments(opened, capsys, monkeypatch):
    """/dev/full stands in for the disk: every write to it fails as on a full one."""
    make_clip("in.mp4", FRAMES)
    new = SegmentFolder.new
    monkeypatch.setattr(
        SegmentFolder, "new", lambda self, n: Path("/dev/full") if n == 2 else new(self, n)
    )
    assert run("in.mp4", "-o", "out.mp4") == 1
    err = capsys.readouterr().err
    assert err == (
        "deblur-run: error: /dev/full: the disk is full; free space, then add --resume; "
        "14 frames are in out.partial.mp4; --resume goes on\n"
    )
    assert len(frames_of("out.partial.mp4")) == 14
    monkeypatch.undo()


def test_the_coding_delay_is_how_far_coding_runs_ahead():
    assert coding_delay([0, 1, 2, 3]) == 0
    assert coding_delay([0, 4, 2, 1, 3]) == 2  # 1 is coded 4th and shown 2nd
    assert coding_delay([]) == 0
