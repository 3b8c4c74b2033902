"""The codecs that clips are written with: encoders, their settings, and what they can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..clip import Clip

# Which containers a clip is written in, and FFmpeg's names of them.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True)
class Codec:
    """One codec as ``--codec`` names it.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        containers: Suffixes of the files that may hold it.
        formats: Pixel formats that the encoder of the wheel takes.
        crf: Default quality; smaller is better. None: the codec is always lossless.
        most: Largest crf.
        preset: Default trade of time for size; empty where there is none.
        options: Further options of the encoder.
        lossless: Options that make it lossless; None if it cannot be.
        tag: Four letters that name the codec in MP4 and MOV, where the usual ones are refused by
            players.
    """

    encoder: str
    containers: tuple[str, ...]
    formats: tuple[str, ...]
    crf: int | None
    most: int = 51
    preset: str = ""
    options: dict[str, str] = field(default_factory=dict)
    lossless: dict[str, str] | None = None
    tag: str | None = None


_MP4 = (".mp4", ".m4v", ".mov")
_SUBSAMPLED = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
CODECS = {
    "h264": Codec("libx264", (*_MP4, ".mkv"), _SUBSAMPLED, 18, preset="veryfast",
                  lossless={"qp": "0"}),
    "hevc": Codec("libx265", (*_MP4, ".mkv"), _SUBSAMPLED, 20, preset="veryfast",
                  options={"x265-params": "log-level=error"},
                  lossless={"x265-params": "log-level=error:lossless=1"}, tag="hvc1"),
    "av1": Codec("libsvtav1", (".mp4", ".mkv", ".webm"), ("yuv420p", "yuv420p10le"), 23, 63,
                 preset="8"),
    "vp9": Codec("libvpx-vp9", (".mp4", ".mkv", ".webm"), ("yuv420p", "yuv422p", "yuv444p"), 20,
                 63, options={"b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
                 lossless={"lossless": "1"}),
    "ffv1": Codec("ffv1", (".mkv",), _SUBSAMPLED, None, options={"level": "3", "slices": "4"},
                  lossless={}),
}  # fmt: skip
DEFAULT = {".webm": "vp9"}
_EVEN_SIDES = ("libx264", "libx265", "libsvtav1")


@dataclass(frozen=True)
class Coding:
    """How a clip is encoded; ``crf`` and ``preset`` None take the codec's own."""

    codec: str = "h264"
    crf: int | None = None
    lossless: bool = False
    preset: str | None = None


def check_coding(coding: Coding, suffix: str) -> None:
    """Refuse what the codec or the container cannot do.

    Raises:
        ValueError: the message says what can.
    """
    if suffix not in CONTAINERS:
        raise ValueError(
            f"clips are written as {', '.join(CONTAINERS)}, or as pictures such as "
            f"frame_%05d.png, not as {suffix or 'a name without an ending'}"
        )
    codec = CODECS[coding.codec]
    if suffix not in codec.containers:
        raise ValueError(
            f"{coding.codec} is written to {', '.join(codec.containers)}, not {suffix}"
        )
    if coding.lossless and codec.lossless is None:
        kinds = [name for name, each in CODECS.items() if each.lossless is not None]
        raise ValueError(f"{coding.codec} has no lossless mode here; use --codec {'|'.join(kinds)}")
    if coding.crf is not None and (coding.lossless or codec.crf is None):
        raise ValueError("a lossless clip has no --crf; leave one of them out")
    if coding.crf is not None and coding.crf > codec.most:
        raise ValueError(f"--crf of {coding.codec} goes from 0 to {codec.most}, not {coding.crf}")
    if coding.preset is not None and not codec.preset:
        raise ValueError(f"{coding.codec} takes no --preset; leave it out")


def encoder_options(coding: Coding) -> dict[str, str]:
    """What the encoder is told."""
    codec = CODECS[coding.codec]
    options = dict(codec.options)
    if codec.preset:
        options["preset"] = coding.preset or codec.preset
    if coding.lossless:
        options.update(codec.lossless or {})
    elif codec.crf is not None:
        options["crf"] = str(codec.crf if coding.crf is None else coding.crf)
    return options


def output_format(clip: Clip, size: tuple[int, int], coding: Coding) -> tuple[str, list[str]]:
    """The pixel format to write, as near to the clip's own as the encoder allows.

    Args:
        clip: The input.
        size: (height, width) of the written frames.
        coding: See `Coding`.

    Returns:
        FFmpeg's name of the format; and what is lost or odd about it, one line each.
    """
    codec = CODECS[coding.codec]
    remarks: list[str] = []
    chroma = next((c for c in ("444", "422") if f"yuv{c}" in clip.format), "420")
    chroma = chroma.replace("yuvj", "yuv")
    if clip.format.startswith(("gbr", "rgb", "bgr")) and coding.lossless:
        chroma = "444"
    odd = bool(size[1] % 2 and chroma != "444") or bool(size[0] % 2 and chroma == "420")
    if odd and codec.encoder in _EVEN_SIDES:
        if "yuv444p" not in codec.formats:
            raise ValueError(
                f"{clip.path}: {coding.codec} cannot write {size[1]}x{size[0]}, whose sides are "
                "odd; use --codec vp9, h264 or ffv1"
            )
        chroma = "444"
        remarks.append(
            f"{size[1]}x{size[0]} has odd sides, so colour is written at full resolution (4:4:4), "
            "which some players lack"
        )
    bits = 10 if clip.bits > 8 else 8
    name = f"yuv{chroma}p10le" if bits == 10 else f"yuv{chroma}p"
    if name not in codec.formats:
        fitting = [f for f in codec.formats if ("10" in f) == (bits == 10)] or list(codec.formats)
        name = next((f for f in fitting if chroma in f), fitting[0])
    kept = 10 if "10" in name else 8
    if kept < clip.bits:
        remarks.append(f"{clip.bits} bits a channel are written as {kept}")
    return name, remarks
