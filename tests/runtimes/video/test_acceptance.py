"""A blurry pan with sound through the shipped network: sharper, with everything else as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.compare import psnr_db
from edgedeblur.runtimes.video.clip import Part
from edgedeblur.runtimes.video.reader import probe, read_frames

from tests.runtimes.video.pan import Pan, write_pan
from tests.runtimes.video.support import even_times, packets_of, times_of, uneven_times

ZOO = Path(__file__).parents[3] / "models" / "zoo" / "mobilenet_dsc.safetensors"


def mean_psnr_db(path, pan):
    """Of the frames against the sharp ones."""
    frames = read_frames(probe(path), Part())
    return float(
        np.mean(
            [
                psnr_db(f.pixels, np.ascontiguousarray(s))
                for f, s in zip(frames, pan.sharp(), strict=True)
            ]
        )
    )


def check(source, target, pan, times):
    assert times_of(target) == pytest.approx([t / 90000 for t in times], abs=0.001)
    assert packets_of(target) == packets_of(source)
    before, after = mean_psnr_db(source, pan), mean_psnr_db(target, pan)
    assert after - before >= 1.0, (before, after)
    return before, after


def test_thirty_small_frames_of_a_variable_rate(tmp_path):
    pan = Pan(30, 192, 320)
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_pan(source, pan, uneven_times(30))
    assert cli.main([str(ZOO), str(source), "-o", str(target), "--threads", "1"]) == 0
    check(source, target, pan, uneven_times(30))


MEASURED = """
import sys
from edgedeblur.runtimes.cli import main
code = main(sys.argv[1:])
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
sys.stderr.write(peak[0].split()[1] + "\\n")
sys.exit(code)
"""


def measured(*argv):
    """The JSON of a run in a process of its own, and its peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, argv), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["clip"], int(done.stderr.split()[-1]) * 1024


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Fixed 736x1280, in ONNX Runtime."""
    from edgedeblur.export.cli import main

    path = tmp_path_factory.mktemp("artifact") / "fixed.onnx"
    assert main(["--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "-o", str(path)]) == 0
    return path


@pytest.mark.slow
def test_120_frames_of_720p(artifact, tmp_path):
    pan = Pan(120, 720, 1280, names=("room", "coffee", "mountains"))
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_pan(source, pan, even_times(120))
    clip, peak = measured(artifact, source, "-o", target, "--profile")
    before, after = check(source, target, pan, even_times(120))
    short = tmp_path / "short.mp4"
    _, short_peak = measured(artifact, source, "-o", short, "--end", "1")
    sys.stderr.write(
        f"PSNR {before:.2f} -> {after:.2f} dB; {clip['fps']:.2f} fps, inference alone "
        f"{clip['inference_alone_fps']:.2f} fps ({clip['fps'] / clip['inference_alone_fps']:.1%}); "
        f"stages {clip['stage_fps']}; peak {peak / 1e6:.0f} MB, of 30 frames "
        f"{short_peak / 1e6:.0f} MB\n"
    )
    assert clip["frames"] == 120
    assert peak < short_peak * 1.1
    assert clip["fps"] > 0


@pytest.mark.slow
def test_memory_does_not_grow_over_10_000_frames(tmp_path):
    """A stand-in network, so that it takes minutes and not hours."""
    code = MEASURED.replace("code = main", STAND_IN + "code = main")
    peaks = []
    for seconds in (20, 400):
        source = tmp_path / f"{seconds}.mp4"
        write_noise(source, 25 * seconds)
        argv = ["model.onnx", source, "-o", tmp_path / f"out{seconds}.mp4", "--json"]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, argv)],
            cwd=tmp_path,
            env=None,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["clip"]["frames"] == 25 * seconds
        peaks.append(int(done.stderr.split()[-1]) / 1024)
    sys.stderr.write(f"peak of 500 frames {peaks[0]:.1f} MiB, of 10,000 {peaks[1]:.1f} MiB\n")
    assert peaks[1] < peaks[0] + 8


STAND_IN = f"""
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from edgedeblur.runtimes.video import command
from tests.runtimes.cli_run.support import manifest
from tests.runtimes.video.support import Identity
Path("model.onnx").write_bytes(b"weights")
command.check_artifact = lambda path: None
command.open_runner = lambda path, **_: Identity(Path(path), manifest(), threads=1, device="cpu")
"""


def write_noise(path, count):
    """96x160, 25 frames a second, sound."""
    import av

    from tests.runtimes.video.support import add_sound

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (96, 400, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = 96, 160, "yuv420p"
        audio = out.add_stream("aac", rate=48000)
        for number in range(count):
            left = number % 240
            picture = np.ascontiguousarray(noise[:, left : left + 160])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        add_sound(out, audio, count / 25)
