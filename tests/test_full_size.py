"""Full-size measurements, run by ``make test-slow``: minutes, and better on a quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from edgedeblur.runtimes.imageio import Picture, read_picture, write_picture

pytestmark = pytest.mark.slow

# Runs a command's main() and prints the process's own peak memory last.
MEASURED = """
import sys
from edgedeblur.{room}.cli import main
code = main(sys.argv[1:])
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
sys.stderr.write(peak[0].split()[1] + "\\n")
sys.exit(code)
"""


def run(room: str, *arguments: object) -> tuple[str, float, int]:
    """Standard output, seconds, and peak memory in bytes of a command."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(room=room), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds = time.perf_counter() - start
    return done.stdout, seconds, int(done.stderr.split()[-1]) * 1024


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """(fixed 736x1280, free size, seconds that exporting the first took)."""
    folder = tmp_path_factory.mktemp("artifacts")
    common = ("--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "-o")
    _, seconds, _ = run("export", *common, folder / "fixed.onnx")
    run("export", *common, folder / "free.onnx", "--dynamic")
    return folder / "fixed.onnx", folder / "free.onnx", seconds


def test_export_at_720p_takes_under_30_seconds(artifacts):
    assert artifacts[2] < 30.0


@pytest.mark.parametrize("size", [(4000, 6000), (6000, 8000)])
@pytest.mark.parametrize("free", [False, True])
def test_large_photo_stays_under_2_gb(artifacts, tmp_path, size, free):
    if size == (6000, 8000) and not free:
        pytest.skip("48 megapixels once is enough")
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    photo = tmp_path / "large.jpg"
    write_picture(Picture(small.repeat(8, 0).repeat(8, 1)), photo)
    out = tmp_path / "out.jpg"
    _, seconds, peak = run("runtimes", artifacts[int(free)], photo, "-o", out, "--json")
    sys.stderr.write(f"{size}, free={free}: {seconds:.1f} s, peak {peak / 1e6:.0f} MB\n")
    assert read_picture(out).pixels.shape == (*size, 3)
    assert peak < 2e9


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_little_time_is_spent_around_inference_at_720p(artifacts, tmp_path, suffix):
    from pathlib import Path

    samples = Path(__file__).parents[1] / "benchmarks" / "samples" / "blurry"
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        write_picture(read_picture(samples / "mountains.png"), folder / f"{number}.{suffix}")
    out, _, _ = run("runtimes", artifacts[0], folder, "-o", tmp_path / "out", "--json")
    files = json.loads(out)["files"][1:]  # the first picture pays for what libraries set up
    infer = float(np.median([f["infer_ms"] for f in files]))
    convert = float(np.median([f["convert_ms"] for f in files]))
    around = float(np.median([f["around_ms"] for f in files]))
    sys.stderr.write(
        f"{suffix}: infer {infer:.0f} ms, convert {convert:.1f} ms, with files {around:.1f} ms\n"
    )
    assert convert < 0.1 * infer
