"""Colours against the equations of BT.601, BT.709 and BT.2020, written down here anew."""

from pathlib import Path

import av
import numpy as np
import pytest
from edgedeblur.runtimes.video.clip import Colour
from edgedeblur.runtimes.video.colour import BT601, BT709, Converter, colour_of
from edgedeblur.runtimes.video.reader import probe

from tests.runtimes.video.support import frames_of, make_clip, run, smooth

# Kr and Kb of ITU-R BT.601-7, section 2.5.1, and BT.709-6, item 3.2.
WEIGHTS = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}
COLOURS = [(200, 40, 90), (255, 255, 255), (0, 0, 0), (10, 250, 30), (17, 99, 255)]


def codes(rgb, matrix, full, bits):
    """Y, Cb, Cr of an 8-bit colour, not rounded."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = (level / 255 for level in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    most, unit = 2**bits - 1, 2 ** (bits - 8)
    if full:
        return luma * most, cb * most + 128 * unit, cr * most + 128 * unit
    return (219 * luma + 16) * unit, (224 * cb + 128) * unit, (224 * cr + 128) * unit


@pytest.mark.parametrize("rgb", COLOURS)
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_yuv_is_what_the_recommendation_says_and_comes_back(matrix, full, bits, rgb):
    dtype, scale = (np.uint8, 1) if bits == 8 else (np.uint16, 257)
    pixels = np.empty((32, 48, 3), dtype)
    pixels[:] = np.array(rgb) * scale
    converter = Converter(Colour(matrix, full))
    frame = converter.from_rgb(pixels, "yuv420p" if bits == 8 else "yuv420p10le")
    planes = [
        int(np.frombuffer(plane, dtype).reshape(plane.height, -1)[8, 8]) for plane in frame.planes
    ]
    assert planes == pytest.approx(codes(rgb, matrix, full, bits), abs=1.01)
    back = Converter(Colour(matrix, full)).to_rgb(frame, bits)
    assert back.dtype == dtype
    # One code of 8 bits is up to 1.86 levels of blue; of 10 bits, a quarter of that.
    most = 3 if bits == 8 else 260
    assert np.abs(back[8, 8].astype(int) - np.array(rgb) * scale).max() <= most


def test_the_matrix_matters():
    pixels = np.empty((32, 32, 3), np.uint8)
    pixels[:] = (200, 40, 90)
    frame = Converter(Colour(BT709, full=False)).from_rgb(pixels, "yuv420p")
    wrong = Converter(Colour(BT601, full=False)).to_rgb(frame, 8)
    assert np.abs(wrong[8, 8].astype(int) - (200, 40, 90)).max() > 15


@pytest.mark.parametrize(
    ("space", "height", "matrix"),
    [(1, 64, BT709), (5, 720, BT601), (6, 720, BT601), (2, 64, BT601), (2, 720, BT709)],
)
def test_tags_choose_the_matrix_and_size_stands_in_for_them(space, height, matrix):
    frame = av.VideoFrame(1280, height, "yuv420p")
    frame.colorspace = space
    assert colour_of(frame).matrix == matrix


@pytest.mark.parametrize(
    ("space", "full", "pix_fmt"),
    [
        (1, False, "yuv420p"),
        (6, False, "yuv420p"),
        (1, True, "yuv420p"),
        (6, True, "yuvj420p"),
        (2, None, "yuv420p"),
        (1, False, "yuv422p"),
        (1, False, "yuv444p"),
    ],
)
def test_a_clip_keeps_its_colours_and_tags(opened, space, full, pix_fmt):
    make_clip(
        "in.mp4", [smooth(shift=s) for s in range(4)], space=space, full=full, pix_fmt=pix_fmt
    )
    assert run("in.mp4", "-o", "out.mp4", "--crf", "1") == 0
    before, after = probe_of("in.mp4"), probe_of("out.mp4")
    assert (after.colour, after.bits) == (before.colour, 8)
    assert after.format.replace("j", "") == pix_fmt.replace("j", "")
    # Both sides against what was drawn: a wrong matrix or range would be off by 10 levels or more.
    for path in ("in.mp4", "out.mp4"):
        for shift, pixels in enumerate(frames_of(path)):
            error = pixels.astype(float) - smooth(shift=shift)
            assert abs(error).mean() < 2.0, path
            assert abs(error.mean(axis=(0, 1))).max() < 2.5, path


def test_ten_bits_stay_ten_bits(opened):
    ramp = np.linspace(20000, 23000, 160)[None, :, None] * np.ones((96, 1, 3))
    make_clip("in.mp4", [ramp.astype(np.uint16)] * 3, pix_fmt="yuv420p10le", space=1, full=False)
    assert run("in.mp4", "-o", "out.mp4", "--crf", "1") == 0
    before, after = frames_of("in.mp4"), frames_of("out.mp4")
    assert probe_of("out.mp4").format == "yuv420p10le"
    assert after[0].dtype == np.uint16
    assert np.abs(after[0].astype(int) - before[0]).mean() < 40  # an 8-bit step is 257
    assert len(np.unique(after[0][48, :, 1])) > 30  # 8 bits would leave 12


def test_eight_bit_vp9_says_what_it_loses(opened, capsys):
    frames = [np.full((96, 160, 3), 30000, np.uint16)] * 3
    make_clip("in.mp4", frames, pix_fmt="yuv420p10le")
    assert run("in.mp4", "-o", "out.webm") == 0
    assert "in.mp4: 10 bits a channel are written as 8\n" in capsys.readouterr().err
    assert probe_of("out.webm").bits == 8


def probe_of(path):
    return probe(Path(path))
