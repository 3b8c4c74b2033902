"""Scores of one output over time: warping error, PSNR per frame, drift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...runtimes.compare import psnr_db
from .flow import Flow, Mask, Picture, warped

SLOPE_FRAMES = 100


@dataclass(frozen=True)
class Spread:
    """PSNR over the frames, in dB. Frames that are equal count as ``EQUAL_DB``.

    Attributes:
        mean_db: Mean.
        std_db: Standard deviation: how uneven the frames are.
        least_db: Worst frame.
        slope_db: Change over 100 frames by a least-squares line; 0 for a single frame.
    """

    mean_db: float
    std_db: float
    least_db: float
    slope_db: float


EQUAL_DB = 100.0  # 8-bit pictures that differ at all are below 97 dB at 720p


@dataclass(frozen=True)
class TemporalRow:
    """One output of a clip.

    Attributes:
        label: ``input``, the reference, or the artifact's name.
        warping_error: E_warp of Lai et al.: mean square of what changes between a frame and the
            next one brought back along the flow, where the flow can be trusted; values in [0, 1].
            None for a single frame.
        added_flicker: The same of the difference from the reference: what conversion adds.
        against_sharp: PSNR against the sharp frames.
        against_reference: PSNR against the reference's frames.
        error: Why it was not measured.
    """

    label: str
    warping_error: float | None = None
    added_flicker: float | None = None
    against_sharp: Spread | None = None
    against_reference: Spread | None = None
    error: str | None = None


class Scorer:
    """Collects the frames of one output in order; keeps only the last one."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._last: np.ndarray | None = None
        self._last_difference: np.ndarray | None = None
        self._warping: list[float] = []
        self._added: list[float] = []
        self._sharp: list[float] = []
        self._reference: list[float] = []

    def add(
        self,
        output: Picture,
        *,
        flow: Flow | None,
        mask: Mask | None,
        sharp: Picture | None,
        reference: Picture | None,
    ) -> None:
        """Score the next frame.

        Args:
            output: uint8 (H, W, 3).
            flow: From the frame before to this one, the same for all outputs; None for the first.
            mask: Where it can be trusted.
            sharp: The sharp frame, if there is one.
            reference: The reference's frame, if this is not the reference.
        """
        now = output.astype(np.float32) / 255
        if flow is not None and mask is not None and self._last is not None:
            self._warping.append(warping_error(self._last, now, flow, mask))
        self._last = now
        if sharp is not None:
            self._sharp.append(min(psnr_db(output, sharp), EQUAL_DB))
        if reference is None:
            return
        self._reference.append(min(psnr_db(output, reference), EQUAL_DB))
        difference = now - reference.astype(np.float32) / 255
        if flow is not None and mask is not None and self._last_difference is not None:
            self._added.append(warping_error(self._last_difference, difference, flow, mask))
        self._last_difference = difference

    def row(self) -> TemporalRow:
        """The scores of all frames so far."""
        return TemporalRow(
            self.label,
            _mean(self._warping),
            _mean(self._added),
            spread(self._sharp) if self._sharp else None,
            spread(self._reference) if self._reference else None,
        )


def warping_error(first: np.ndarray, second: np.ndarray, flow: Flow, mask: Mask) -> float:
    """Mean square of ``second`` along the flow less ``first``, over the mask and the channels.

    Args:
        first: float32 (H, W, C).
        second: The frame after it, the same shape.
        flow: From ``first`` to ``second``.
        mask: Which pixels of ``first`` count.

    Returns:
        NaN if no pixel counts.
    """
    if not mask.any():
        return math.nan
    change = (warped(second, flow) - first)[mask]
    return float(np.mean(np.square(change, dtype=np.float64)))


def spread(values_db: list[float]) -> Spread:
    """Mean, deviation, least and slope of at least one value."""
    values = np.asarray(values_db, np.float64)
    slope = float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0
    return Spread(
        float(values.mean()), float(values.std()), float(values.min()), slope * SLOPE_FRAMES
    )


def _mean(values: list[float]) -> float | None:
    """Of the frames where a pixel counted; None if there is none."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else None
