"""What a clip keeps: its frames, their times, sound, subtitles, tags, rotation."""

from pathlib import Path

import av
import numpy as np
import pytest
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.video.output import encoder
from edgedeblur.runtimes.video.reader import probe

from tests.runtimes.video.support import (
    frames_of,
    make_clip,
    packets_of,
    run,
    smooth,
    times_of,
    uneven_times,
)

FRAMES = [smooth(shift=10 * number) for number in range(25)]


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    """Seven frames each, so that every clip here is joined from several."""
    monkeypatch.setattr(encoder, "SEGMENT_FRAMES", 7)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("h264", "out.mp4"),
        ("h264", "out.mkv"),
        ("h264", "out.mov"),
        ("hevc", "out.mp4"),
        ("av1", "out.mp4"),
        ("vp9", "out.mkv"),
        ("ffv1", "out.mkv"),
    ],
)
def test_frames_times_and_sound_of_a_variable_rate(opened, codec, name):
    make_clip("in.mp4", FRAMES, uneven_times(25), sound=True)
    assert run("in.mp4", "-o", name, "--codec", codec) == 0
    times = times_of(name)
    assert times == pytest.approx([t / 90000 for t in uneven_times(25)], abs=0.001)
    before, after = packets_of("in.mp4"), packets_of(name)
    assert len(before) > 40
    assert [data for data, _ in after] == [data for data, _ in before]
    assert [at for _, at in after] == pytest.approx([at for _, at in before], abs=0.001)
    errors = [
        np.abs(a.astype(int) - b).mean() for a, b in zip(frames_of(name), FRAMES, strict=True)
    ]
    assert max(errors) < 3  # the next frame is off by more
    assert np.abs(FRAMES[0].astype(int) - FRAMES[1]).mean() > 4
    with av.open(name) as clip:
        found = clip.streams.video[0].codec_context.name
    assert found == {"av1": "libdav1d"}.get(codec, codec)
    assert not Path(f"{name}.segments").exists()


def test_mp4_keeps_times_to_the_tick(opened):
    make_clip("in.mp4", FRAMES, uneven_times(25))
    assert run("in.mp4", "-o", "out.mp4") == 0
    assert times_of("out.mp4") == [t / 90000 for t in uneven_times(25)]


def test_tags_languages_and_rotation_are_kept(opened):
    tags = {"title": "Harbour", "com.example.place": "+52.5+013.4/"}
    make_clip("in.mp4", FRAMES[:5], rotation=-90, sound=True, tags=tags)
    assert run("in.mp4", "-o", "out.mp4") == 0
    with av.open("out.mp4") as clip:
        assert tags.items() <= clip.metadata.items()
        assert clip.streams.audio[0].language == "eng"
    assert probe(Path("out.mp4")).rotation == probe(Path("in.mp4")).rotation == -90


def test_subtitles_are_copied_where_the_container_holds_them(opened, capsys):
    make_clip("film.mkv", FRAMES[:10], sound=True)
    add_subtitles("film.mkv", "in.mkv")
    assert run("in.mkv", "-o", "out.mkv") == 0
    assert packets_of("out.mkv", "subtitle") == packets_of("in.mkv", "subtitle")
    assert [data for data, _ in packets_of("in.mkv", "subtitle")] == [b"one", b"two"]
    capsys.readouterr()
    assert run("in.mkv", "-o", "out.mp4") == 0
    assert capsys.readouterr().err == (
        "in.mkv: stream 2 (subtitle, srt) is left out: .mp4 cannot hold it\n"
    )
    assert len(packets_of("out.mp4")) == len(packets_of("in.mkv"))


def add_subtitles(source, target):
    """A copy of a clip with two lines of subtitles."""
    text = "1\n00:00:00,000 --> 00:00:00,100\none\n\n2\n00:00:00,200 --> 00:00:00,300\ntwo\n"
    Path("lines.srt").write_text(text)
    with av.open(source) as film, av.open("lines.srt") as lines, av.open(target, "w") as out:
        streams = [*film.streams, *lines.streams]
        added = [out.add_stream_from_template(stream, opaque=True) for stream in streams]
        for container, first in ((lines, len(film.streams)), (film, 0)):
            for packet in container.demux():
                if packet.size:
                    packet.stream = added[first + packet.stream.index]
                    out.mux(packet)


def test_a_part_begins_at_0_and_takes_its_sound_along(opened):
    make_clip("in.mp4", FRAMES, sound=True)
    assert run("in.mp4", "-o", "out.mp4", "--start", "0.2", "--end", "00:00.5") == 0
    times = times_of("out.mp4")
    assert times == pytest.approx([number / 30 for number in range(9)], abs=0.001)
    errors = [
        np.abs(a.astype(int) - b).mean()
        for a, b in zip(frames_of("out.mp4"), FRAMES[6:15], strict=True)
    ]
    assert max(errors) < 3
    whole = packets_of("in.mp4")
    wanted = [(data, at - 0.2) for data, at in whole if 0.2 <= at < 0.5]
    found = packets_of("out.mp4")
    assert [data for data, _ in found] == [data for data, _ in wanted]
    assert [at for _, at in found] == pytest.approx([at for _, at in wanted], abs=0.001)


def test_lossless_loses_nothing_to_the_codec(opened):
    make_clip("in.mp4", FRAMES[:5], space=1, full=False)
    for codec, name in (("h264", "a.mkv"), ("hevc", "b.mkv"), ("vp9", "c.webm"), ("ffv1", "d.mkv")):
        assert run("in.mp4", "-o", name, "--codec", codec, "--lossless") == 0
        same = [np.array_equal(a, b) for a, b in zip(coded("a.mkv"), coded(name), strict=True)]
        assert all(same), name
    # Only the conversion to RGB and back is between them.
    for before, after in zip(frames_of("in.mp4"), frames_of("a.mkv"), strict=True):
        assert np.abs(before.astype(int) - after).mean() < 1
    assert run("in.mp4", "-o", "e.mkv", "--crf", "30") == 0
    assert not np.array_equal(coded("e.mkv")[0], coded("a.mkv")[0])
    assert Path("e.mkv").stat().st_size < Path("a.mkv").stat().st_size


def coded(path):
    """Luma and chroma as stored."""
    with av.open(path) as clip:
        return [frame.to_ndarray() for frame in clip.decode(video=0)]


class Negative(Runner):
    def _open(self):
        pass

    def _infer(self, image):
        return -image


@pytest.mark.parametrize("rotation", [0, 90])
def test_side_by_side_is_upright(opened, rotation):
    opened.runner = Negative
    make_clip("in.mp4", FRAMES[:3], rotation=rotation)
    assert run("in.mp4", "-o", "out.mp4", "--side-by-side", "--crf", "5") == 0
    before = frames_of("in.mp4")[1]
    # Counter-clockwise, as `VideoFrame.rotation` counts; by hand, not by numpy's rot90.
    shown = before if rotation == 0 else before.transpose(1, 0, 2)[::-1]
    pixels = frames_of("out.mp4")[1].astype(int)
    width = shown.shape[1]
    assert pixels.shape == (shown.shape[0], 2 * width + 4, 3)
    assert probe(Path("out.mp4")).rotation == 0
    assert np.abs(pixels[:, :width] - shown).mean() < 4
    assert np.abs(pixels[:, -width:] - (255 - shown.astype(int))).mean() < 4


@pytest.mark.parametrize(("height", "width"), [(95, 161), (96, 161), (95, 160), (33, 35)])
def test_odd_sides_stay(opened, capsys, height, width):
    make_clip("in.mkv", [smooth(height, width)] * 3, codec="ffv1", options={})
    assert run("in.mkv", "-o", "out.mp4") == 0
    assert f"{width}x{height} has odd sides" in capsys.readouterr().err
    assert frames_of("out.mp4")[0].shape == (height, width, 3)
    assert run("in.mkv", "-o", "out.webm") == 0
    assert capsys.readouterr().err == ""
    assert frames_of("out.webm")[0].shape == (height, width, 3)
    assert run("in.mkv", "-o", "av1.mp4", "--codec", "av1") == 1
    assert "whose sides are odd; use --codec vp9, h264 or ffv1" in capsys.readouterr().err


def test_throughput_goes_to_the_runner(opened):
    make_clip("in.mp4", FRAMES[:3])
    assert run("in.mp4", "-o", "out.mp4", "--hint", "throughput") == 0
    assert opened.hints == ["throughput"]
