"""Scores an artifact's pictures against the sharp ones, and against PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...runtimes.base import Runner
from ...runtimes.compare import energy_snr_db, max_abs, psnr_db, residual_energy, ssim
from ...runtimes.pictures.read import read_picture
from ...runtimes.pictures.tiling import TilingOptions
from ..timing.hook import Infer, intercept_infer
from ..workers.jobs import PictureFiles
from .reference_outputs import ReferenceReader, ReferenceWriter
from .scores import Drift, PictureDrift, PictureScore, Quality

Progress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True)
class ReportPicture:
    """One photograph in the report: uint8 (H, W, 3) each; ``reference`` is PyTorch's output."""

    role: str
    name: str
    before: np.ndarray
    after: np.ndarray
    sharp: np.ndarray
    reference: np.ndarray | None


@dataclass
class Gallery:
    """Keeps the first picture and the worst: the one farthest from PyTorch's, or from sharp.

    ``save_each`` is called with every picture and its place in the data set.
    """

    save_each: Callable[[ReportPicture, int], None] | None = None
    first: ReportPicture | None = None
    worst: ReportPicture | None = None
    _lowest: float = field(default=math.inf)
    _seen: int = 0

    def offer(self, picture: ReportPicture, score: PictureScore) -> None:
        """Keep the next picture if it is the first or the worst so far."""
        if self.save_each is not None:
            self.save_each(picture, self._seen)
        self._seen += 1
        closeness = score.psnr_db if score.drift is None else score.drift.psnr_db
        if self.first is None:
            self.first = replace(picture, role="first")
        if self.worst is None or closeness < self._lowest:
            self.worst = replace(picture, role="worst")
            self._lowest = closeness

    @property
    def pictures(self) -> list[ReportPicture]:
        """One or two, first before worst."""
        same = self.first and self.worst and self.first.name == self.worst.name
        return [p for p in (self.first, None if same else self.worst) if p is not None]


def measure_quality(
    runner: Runner,
    pictures: Sequence[PictureFiles],
    protocol: str,
    *,
    writer: ReferenceWriter | None = None,
    reader: ReferenceReader | None = None,
    gallery: Gallery | None = None,
    progress: Progress = no_progress,
) -> Quality:
    """Deblur all pictures and score them.

    Args:
        runner: The artifact, or PyTorch (then with ``writer``).
        pictures: The pairs, in the reference's order.
        protocol: ``edge`` or ``paper``.
        writer: Saves the outputs, so that artifacts can be compared with them.
        reader: Reads PyTorch's outputs; without it there is no drift.
        gallery: Collects the report's pictures.
        progress: Called with (pictures done, pictures in all).

    Raises ValueError for no pictures, a picture that cannot be compared, NaN from the artifact,
    or a reference whose residual is zero.
    """
    if not pictures:
        raise ValueError("no pictures to compare; check --data and --limit")
    gallery = gallery or Gallery()
    scores: list[PictureScore] = []
    options = TilingOptions(protocol=protocol)
    for number, files in enumerate(pictures):
        comparison = _TileComparison(number, writer, reader)
        score, picture = _score_picture(runner, files, options, comparison)
        if writer is not None:
            writer.end_picture(picture.after, score)
        gallery.offer(picture, score)
        scores.append(score)
        progress(number + 1, len(pictures))
    if writer is not None:
        writer.finish()
    return summarise(scores, reader.label if reader is not None else "")


def summarise(scores: Sequence[PictureScore], reference: str) -> Quality:
    """Means over pictures, and the drift if every picture has one.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("no pictures were compared")
    drifts = [score.drift for score in scores if score.drift is not None]
    return Quality(
        pictures=len(scores),
        psnr_db=_mean(score.psnr_db for score in scores),
        ssim=_mean(score.ssim for score in scores),
        blurry_psnr_db=_mean(score.blurry_psnr_db for score in scores),
        blurry_ssim=_mean(score.blurry_ssim for score in scores),
        drift=_drift(scores, drifts, reference) if len(drifts) == len(scores) else None,
        scores=tuple(scores),
    )


def read_rgb8(path: str) -> np.ndarray:
    """A picture as uint8 (H, W, 3) RGB.

    Raises:
        ValueError: unreadable, or deeper than 8 bits: PSNR and SSIM are defined on uint8 here.
    """
    pixels = read_picture(Path(path)).pixels
    if pixels.dtype != np.uint8:
        raise ValueError(f"{path}: {pixels.dtype} pixels; the benchmark compares 8-bit pictures")
    return pixels


@dataclass
class _TileComparison:
    """Compares every tile of one picture with the reference, and sums up signal and noise."""

    number: int
    writer: ReferenceWriter | None
    reader: ReferenceReader | None
    tiles: int = 0
    signal: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0

    def __call__(self, infer: Infer, image: np.ndarray) -> np.ndarray:
        output = infer(image)
        if self.writer is not None:
            self.writer.add_tile(image, output)
        if self.reader is not None:
            wanted = self.reader.tile(self.number, self.tiles, image)
            signal, noise = residual_energy(output, wanted, image)
            self.signal += signal
            self.noise += noise
            self.max_abs = max(self.max_abs, max_abs(output, wanted))
        self.tiles += 1
        return output

    def drift(self, output: np.ndarray, psnr: float, similarity: float) -> PictureDrift | None:
        """Compare the whole picture; ``psnr``, ``similarity``: the artifact's against sharp."""
        if self.reader is None:
            return None
        if self.tiles != self.reader.tile_count(self.number):
            raise ValueError(
                f"cut into {self.tiles} tiles, but {self.reader.tile_count(self.number)} for the "
                "PyTorch reference, so their outputs cannot be compared"
            )
        wanted, score = self.reader.output(self.number), self.reader.score(self.number)
        return PictureDrift(
            delta_psnr_db=_difference(psnr, score.psnr_db),
            delta_ssim=similarity - score.ssim,
            psnr_db=psnr_db(output, wanted),
            ssim=ssim(output, wanted),
            max_abs=self.max_abs,
            residual_signal=self.signal,
            residual_noise=self.noise,
        )


def _score_picture(
    runner: Runner, files: PictureFiles, options: TilingOptions, comparison: _TileComparison
) -> tuple[PictureScore, ReportPicture]:
    """Deblur and score one picture; errors name the picture."""
    try:
        return _deblur_and_score(runner, files, options, comparison)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{files.name}: {error}") from error


def _deblur_and_score(
    runner: Runner, files: PictureFiles, options: TilingOptions, comparison: _TileComparison
) -> tuple[PictureScore, ReportPicture]:
    blurry = read_rgb8(files.blurry)
    with intercept_infer(runner, comparison):
        output = runner.deblur(blurry, options)
    psnr, similarity, sharp_path, sharp = _best_match(output, files.sharps)
    if comparison.reader is not None:
        known = comparison.reader.score(comparison.number)
        blurry_psnr, blurry_ssim = known.blurry_psnr_db, known.blurry_ssim
    else:
        blurry_psnr, blurry_ssim, _, _ = _best_match(blurry, files.sharps)
    score = PictureScore(
        name=files.name,
        sharp=Path(sharp_path).name,
        psnr_db=psnr,
        ssim=similarity,
        blurry_psnr_db=blurry_psnr,
        blurry_ssim=blurry_ssim,
        drift=comparison.drift(output, psnr, similarity),
    )
    reference = (
        comparison.reader.output(comparison.number) if comparison.reader is not None else None
    )
    return score, ReportPicture("", files.name, blurry, output, sharp, reference)


def _best_match(picture: np.ndarray, sharps: Sequence[str]) -> tuple[float, float, str, np.ndarray]:
    """PSNR, SSIM, file and pixels of the sharp picture that matches best by PSNR.

    Kohler's benchmark gives every frame of the camera's path as a reference and takes the best.
    """
    best: tuple[float, str, np.ndarray] | None = None
    for path in sharps:
        sharp = read_rgb8(path)
        psnr = psnr_db(picture, sharp)
        if best is None or psnr > best[0]:
            best = (psnr, path, sharp)
    if best is None:
        raise ValueError("no sharp picture to compare with")
    return best[0], ssim(picture, best[2]), best[1], best[2]


def _drift(scores: Sequence[PictureScore], drifts: Sequence[PictureDrift], reference: str) -> Drift:
    worst = min(range(len(drifts)), key=lambda number: drifts[number].psnr_db)
    deltas = [drift.delta_psnr_db for drift in drifts if drift.delta_psnr_db is not None]
    return Drift(
        reference=reference,
        delta_psnr_db=_mean(deltas) if deltas else None,
        delta_ssim=_mean(drift.delta_ssim for drift in drifts),
        pooled_psnr_db=_pooled([drift.psnr_db for drift in drifts]),
        ssim=_mean(drift.ssim for drift in drifts),
        worst_psnr_db=drifts[worst].psnr_db,
        worst_picture=scores[worst].name,
        max_abs=max(drift.max_abs for drift in drifts),
        residual_snr_db=energy_snr_db(
            sum(drift.residual_signal for drift in drifts),
            sum(drift.residual_noise for drift in drifts),
        ),
    )


def _difference(first: float, second: float) -> float | None:
    """``first - second``; 0 where both are infinite (both equal the sharp picture), None if one."""
    if first == second:
        return 0.0
    return first - second if math.isfinite(first) and math.isfinite(second) else None


def _pooled(values_db: Sequence[float]) -> float:
    """PSNR of the mean of the squared errors behind ``values_db``."""
    error = _mean(10.0 ** (-value / 10.0) for value in values_db)  # 0 where infinite
    return math.inf if error == 0.0 else -10.0 * math.log10(error)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)
