"""Clips that pan over the packaged photographs: sharp, and as a slow shutter sees them.

The photographs are those of ``benchmarks/samples``, whose licences allow it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.runtimes.video.support import EXACT, TICKS, add_sound, sample

_LINEAR = (np.arange(256) / 255) ** 2.2


@dataclass(frozen=True)
class Pan:
    """A pan to the right over photographs that hang side by side, at ``step_px`` a frame.

    The shutter is open for the whole frame, so that blur is ``step_px`` long. Photographs are
    mirrored up to the height and width that are needed.
    """

    frames: int
    height: int
    width: int
    step_px: int = 10
    names: tuple[str, ...] = ("coffee",)

    def canvas(self) -> np.ndarray:
        """uint8 (H, W, 3), wide enough for the pan."""
        wall = np.concatenate([self._photo(name) for name in self.names], axis=1)
        missing = self.width + (self.frames + 1) * self.step_px - wall.shape[1]
        return np.pad(wall, ((0, 0), (0, max(0, missing)), (0, 0)), mode="symmetric")

    def _photo(self, name: str) -> np.ndarray:
        photo = sample(name)
        missing = max(0, self.height - photo.shape[0])
        return np.pad(photo, ((0, missing), (0, 0), (0, 0)), mode="symmetric")[: self.height]

    def sharp(self) -> Iterator[np.ndarray]:
        """The middle of each exposure."""
        wide = self.canvas()
        for number in range(self.frames):
            left = number * self.step_px + self.step_px // 2
            yield wide[:, left : left + self.width]

    def blurry(self) -> Iterator[np.ndarray]:
        """The mean of all positions during the exposure, in linear light."""
        linear = _LINEAR[self.canvas()]
        for number in range(self.frames):
            lefts = range(number * self.step_px, (number + 1) * self.step_px + 1)
            mean = sum(linear[:, left : left + self.width] for left in lefts) / len(lefts)
            yield np.rint(255 * mean ** (1 / 2.2)).astype(np.uint8)


def write_pan(path: Path, pan: Pan, times: list[int], *, crf: int = 12) -> None:
    """H.264 with sound, BT.709, limited range; one frame in memory at a time."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "fast"})
        video.height, video.width, video.pix_fmt = pan.height, pan.width, "yuv420p"
        video.codec_context.time_base = TICKS
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1
        audio = out.add_stream("aac", rate=48000)
        for pixels, pts in zip(pan.blurry(), times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=1, dst_color_range=1, interpolation=EXACT
            )
            frame.pts, frame.time_base = pts, TICKS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        add_sound(out, audio, (times[-1] + 3000) * TICKS)
