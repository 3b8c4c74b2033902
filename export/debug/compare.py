"""Compares two networks layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .taps import Taps

FALL_DB = 6.0  # an error twice as large as what comes in
CHUNK = 16  # layers held at a time
# SNR that a faithful layer has at least, where its inputs set no lower bar: float32 sums in
# another order, float16 rounding, 8-bit rounding.
CEILINGS_DB = {"fp32": 100.0, "fp16": 50.0, "int8": 22.0}


@dataclass(frozen=True)
class LayerDrift:
    """One layer.

    Attributes:
        name: The layer.
        snr_db: 10 log10 of the energy of the first network's output over that of the difference,
            over all pictures; infinite where they are equal.
        inputs_db: The lowest SNR of the layers that it reads, at most the ceiling; the ceiling if
            it reads the picture alone.
        shapes_differ: The two outputs do not have one shape, so there is no SNR.
    """

    name: str
    snr_db: float
    inputs_db: float
    shapes_differ: bool = False

    @property
    def fall_db(self) -> float:
        """How far the SNR falls within this layer."""
        return math.inf if self.shapes_differ else max(self.inputs_db - self.snr_db, 0.0)


@dataclass(frozen=True)
class Comparison:
    """All layers that both networks have, in order, and the layers of one alone."""

    layers: tuple[LayerDrift, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def first_fall(self) -> LayerDrift | None:
        """The first layer whose SNR falls by more than `FALL_DB`; None if there is none."""
        return next((layer for layer in self.layers if layer.fall_db > FALL_DB), None)


def compare(
    first: Taps,
    second: Taps,
    images: Sequence[np.ndarray],
    inputs: Mapping[str, Iterable[str]],
    *,
    ceiling_db: float,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Comparison:
    """Compare all layers that both have.

    Args:
        first: The reference; its order is the result's.
        second: What is compared with it.
        images: Pictures, float32 (1, 3, H, W) in [-1, 1].
        inputs: The layers that each layer reads.
        ceiling_db: SNR that a faithful layer has at least: see `CEILINGS_DB`.
        progress: Called with (layers done, layers in all).

    Raises:
        ValueError: no pictures, or the networks have no layer in common.
    """
    if not images:
        raise ValueError("no pictures to compare the layers on")
    there = set(second.layers)
    common = [layer for layer in first.layers if layer in there]
    if not common:
        raise ValueError(
            "the two have no layer in common, so there is nothing to compare; were they made from "
            "the same network, with the same rewrites?"
        )
    found: dict[str, float | None] = {}
    for start in range(0, len(common), CHUNK):
        chunk = common[start : start + CHUNK]
        found.update(_ratios(first, second, images, chunk))
        progress(min(start + CHUNK, len(common)), len(common))
    return Comparison(
        tuple(_drift(layer, found, inputs, ceiling_db) for layer in common),
        tuple(layer for layer in first.layers if layer not in there),
        tuple(layer for layer in second.layers if layer not in set(first.layers)),
    )


def _ratios(
    first: Taps, second: Taps, images: Sequence[np.ndarray], layers: Sequence[str]
) -> dict[str, float | None]:
    """Layer -> SNR in dB over all pictures; None where the shapes differ."""
    signal = dict.fromkeys(layers, 0.0)
    noise: dict[str, float | None] = dict.fromkeys(layers, 0.0)
    for image in images:
        wanted, got = first.run(image, layers), second.run(image, layers)
        for layer in layers:
            before = noise[layer]
            if wanted[layer].shape != got[layer].shape or before is None:
                noise[layer] = None
                continue
            reference = wanted[layer].astype(np.float64)
            signal[layer] += float(np.square(reference).sum())
            noise[layer] = before + float(np.square(reference - got[layer]).sum())
    return {layer: _decibels(signal[layer], noise[layer]) for layer in layers}


def _decibels(signal: float, noise: float | None) -> float | None:
    if noise is None:
        return None
    if noise == 0.0:
        return math.inf
    return (
        -math.inf if signal == 0.0 or not math.isfinite(noise) else 10 * math.log10(signal / noise)
    )


def _drift(
    layer: str,
    ratios: Mapping[str, float | None],
    inputs: Mapping[str, Iterable[str]],
    ceiling_db: float,
) -> LayerDrift:
    sources = [ratios[name] for name in inputs.get(layer, ()) if name in ratios]
    known = [value for value in sources if value is not None]
    bar = min([ceiling_db, *known])
    snr = ratios[layer]
    return LayerDrift(layer, -math.inf if snr is None else snr, bar, shapes_differ=snr is None)
