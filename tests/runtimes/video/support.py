"""Clips made on the spot, and `deblur-run` on them with a network that is a stand-in."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.video.clip import Part
from edgedeblur.runtimes.video.reader import probe, read_frames

SAMPLES = Path(__file__).parents[3] / "benchmarks" / "samples"
EXACT = 0x46004  # swscale: bicubic, full chroma, exact rounding
TICKS = Fraction(1, 90000)


class Identity(Runner):
    """Returns its input, so that what a clip lost is the codec's and the conversion's doing."""

    def _open(self):
        pass

    def _infer(self, image):
        return image.copy()


def smooth(height=96, width=160, shift=0):
    """A colourful picture without fine detail, which codecs and chroma planes keep: uint8."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    waves = (columns + shift) / 120, rows / 90, (rows + columns) / 150
    levels = [127.5 + 60 * np.sin(2 * np.pi * wave) for wave in waves]
    return np.rint(np.stack(levels, axis=-1)).astype(np.uint8)


def even_times(count, fps=30):
    return [number * 90000 // fps for number in range(count)]


def uneven_times(count):
    """Time stamps of a variable frame rate, in 1/90000 s: gaps of 33, 20 and 71 ms."""
    gaps = [2970, 1800, 6390]
    return [sum(gaps[i % 3] for i in range(number)) for number in range(count)]


def make_clip(
    path,
    frames,
    times=None,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    space=2,
    full=None,
    rotation=0,
    sound=False,
    tags=None,
    options=None,
):
    """Write uint8 or uint16 frames; colours are converted by the tags ``space`` and ``full``."""
    times = even_times(len(frames)) if times is None else times
    matrix = {1: 1, 5: 5, 6: 5, 9: 9}.get(space, 5)
    color_range = {None: 0, False: 1, True: 2}[full]
    with av.open(
        str(path),
        "w",
        container_options={"movflags": "use_metadata_tags"} if "mp4" in str(path) else {},
    ) as out:
        out.metadata.update(tags or {})
        video = out.add_stream(codec, rate=30, options=options or {"crf": "1"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = TICKS
        video.codec_context.colorspace = space
        video.codec_context.color_range = color_range
        if rotation:
            video.set_display_rotation(rotation)
        audio = out.add_stream("aac", rate=48000) if sound else None
        if audio is not None:
            audio.metadata["language"] = "eng"
        for pixels, pts in zip(frames, times, strict=True):
            kind = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
            frame = av.VideoFrame.from_ndarray(pixels, format=kind)
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=color_range or 1,
                interpolation=EXACT,
            )
            frame.colorspace, frame.color_range = space, color_range
            frame.pts, frame.time_base = pts, TICKS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            add_sound(out, audio, (times[-1] + 3000) * TICKS)
    return Path(path)


def add_sound(out, audio, seconds):
    """A tone with noise: float planar stereo, 1024 samples a frame."""
    rng = np.random.default_rng(1)
    for begin in range(0, int(seconds * 48000), 1024):
        time = np.arange(begin, begin + 1024) / 48000
        wave = 0.2 * np.sin(2 * np.pi * 440 * time) + 0.05 * rng.standard_normal((2, 1024))
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))


def frames_of(path):
    """All frames of a clip, as RGB."""
    return [frame.pixels for frame in read_frames(probe(Path(path)), Part())]


def times_of(path):
    """When FFmpeg shows the frames, in seconds; not by the code under test."""
    with av.open(str(path)) as clip:
        return [float(frame.pts * frame.time_base) for frame in clip.decode(video=0)]


def packets_of(path, kind="audio"):
    """(bytes, seconds) of the packets of the first stream of a kind."""
    with av.open(str(path)) as clip:
        stream = next(s for s in clip.streams if s.type == kind)
        found = [p for p in clip.demux(stream) if p.size]
        return [(bytes(p), float(p.pts * p.time_base)) for p in found]


def sample(name, side="sharp"):
    return read_picture(SAMPLES / side / f"{name}.png").pixels


def run(*argv):
    return cli.main(["model.onnx", *map(str, argv)])
