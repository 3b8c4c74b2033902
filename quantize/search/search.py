"""Recipe search: the best range observer first, then the fewest layers in float."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..quality_drop import QualityDrop, float_outputs, measure_drop
from ..recipe import OBSERVERS, Recipe
from .candidate_bench import CandidateBench
from .results_cache import ResultsCache
from .sensitivity import LayerCost, Limits, keep_in_float

# Residual SNR that a correction must gain: bias correction makes every export longer; equalisation
# also excludes TFLite, whose targets refuse it.
MIN_GAIN_DB = {"correct_bias": 0.1, "equalise": 0.5}


class Search:
    """One search; the cache keeps all measurements, so that it can be continued."""

    def __init__(self, bench: CandidateBench, cache: ResultsCache, limits: Limits) -> None:
        self._bench, self._results_cache, self._limits = bench, cache, limits
        self._floats = float_outputs(bench.infer(bench.source), bench.samples)

    def run(self, best: Recipe, ranking: list[LayerCost]) -> tuple[Recipe, QualityDrop]:
        """The cheapest recipe within the limits, and its drop.

        Args:
            best: From `best_ranges`.
            ranking: Layers, the most useful to keep in float first.

        Raises:
            ValueError: the limits are not met even with every ranked layer in float.
        """
        drop = self.measure(best)
        spared: list[str] = []
        for cost in ranking:
            if self._limits.met_by(drop):
                break
            spared.append(cost.layer)
            drop = self.measure(keep_in_float(best, spared))
            self._bench.log(f"in float: {', '.join(spared)}: {_drop_text(drop)}")
        if not self._limits.met_by(drop):
            raise ValueError(
                f"no recipe keeps the loss under {self._limits.max_drop_db:g} dB and the residual "
                f"SNR over {self._limits.min_snr_db:g} dB; the last one: {_drop_text(drop)}"
            )
        for layer in list(spared[:-1]):  # the last was needed: without it the limits were not met
            fewer = [other for other in spared if other != layer]
            fewer_drop = self.measure(keep_in_float(best, fewer))
            if self._limits.met_by(fewer_drop):
                spared, drop = fewer, fewer_drop
        return keep_in_float(best, spared), drop

    def best_ranges(self, start: Recipe) -> Recipe:
        """The observer with the highest residual SNR, with each correction that gains enough."""
        candidates = [dataclasses.replace(start, observer=observer) for observer in OBSERVERS]
        best = max(candidates, key=lambda recipe: self.measure(recipe).residual_snr_db)
        for name, min_gain_db in MIN_GAIN_DB.items():
            other = dataclasses.replace(best, **{name: True})
            gain = self.measure(other).residual_snr_db - self.measure(best).residual_snr_db
            if gain >= min_gain_db:
                best = other
        return best

    def measure(self, recipe: Recipe) -> QualityDrop:
        """A recipe's drop on the samples."""
        key = _key(recipe)

        def measured() -> dict[str, Any]:
            self._bench.log(f"measuring {key}")
            infer = self._bench.infer(self._bench.quantise(recipe).model)
            return dataclasses.asdict(measure_drop(infer, self._floats, self._bench.samples))

        return QualityDrop(**self._results_cache.get(key, measured))


def _key(recipe: Recipe) -> str:
    extras = [name for name in ("correct_bias", "equalise") if getattr(recipe, name)]
    return " ".join([recipe.name, recipe.observer, *extras, "float:", *recipe.keep])


def _drop_text(drop: QualityDrop) -> str:
    return f"{drop.psnr_drop_db:.4f} dB lost, residual SNR {drop.residual_snr_db:.2f} dB"
