"""Full-size measurements, run by ``make test-slow``: minutes, and better on a quiet machine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.metadata import Picture
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.pictures.write import write_picture
from PIL import Image

pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).parents[1] / "benchmarks" / "samples"

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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_little_time_is_spent_around_inference_at_720p(artifacts, tmp_path, suffix, threads):
    """Everything outside inference, files included, as a share of inference.

    The least of several pictures, since other work on the machine only ever adds time.
    """
    folder = tmp_path / "in"
    folder.mkdir()
    mountains = SAMPLES / "blurry" / "mountains.png"
    for number in range(8):
        write_picture(read_picture(mountains), folder / f"{number}.{suffix}")
    out, _, _ = run(
        "runtimes", artifacts[0], folder, "-o", tmp_path / "out", "--threads", threads, "--json"
    )
    files = json.loads(out)["files"][1:]  # the first picture pays for what libraries set up
    assert {(f["height"], f["width"], f["tiles"]) for f in files} == {(720, 1280, 1)}
    infer, convert, around = (
        min(f[f"{part}_ms"] for f in files) for part in ("infer", "convert", "around")
    )
    coding = png_coding_ms(folder / "0.png", tmp_path / "out" / "0.png") if suffix == "png" else 0.0
    sys.stderr.write(
        f"{suffix}, {threads} threads: infer {infer:.0f} ms, around it {around:.1f} ms "
        f"({around / infer:.1%}), of which convert {convert:.1f} ms, PNG coding {coding:.1f} ms\n"
    )
    # PNG itself takes more: deflate at its cheapest is a tenth of this network on one core.
    assert around - coding < 0.1 * infer
    assert convert < 0.03 * infer


def png_coding_ms(source: Path, target: Path) -> float:
    """Decoding ``source`` and encoding the pixels of ``target``, from memory to memory."""
    from edgedeblur.runtimes.pictures.write import _png_pixels

    data, pixels = source.read_bytes(), read_picture(target).pixels
    decode = least_ms(lambda: Image.open(io.BytesIO(data)).load())
    return decode + least_ms(lambda: _png_pixels(pixels))


def least_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(9):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)
