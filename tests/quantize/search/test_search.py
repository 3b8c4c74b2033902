from __future__ import annotations

import dataclasses

import pytest
from edgedeblur.quantize.quality_drop import QualityDrop
from edgedeblur.quantize.recipe import Recipe
from edgedeblur.quantize.search.results_cache import ResultsCache
from edgedeblur.quantize.search.search import Search
from edgedeblur.quantize.search.sensitivity import LayerCost, Limits

BEST = Recipe(observer="percentile", correct_bias=True)
LIMITS = Limits(max_drop_db=0.1, min_snr_db=20.0)


class Pretended(Search):
    """A network whose residual SNR is a sum that a person can do."""

    gains = {"a": 3.0, "b": 2.0, "c": 1.0}  # noqa: RUF012
    base = {"minmax": 15.0, "percentile": 16.0, "entropy": 14.0, "mse": 13.0}  # noqa: RUF012

    def __init__(self, bias=0.5, equal=-0.5):
        self._limits, self._bias, self._equal = LIMITS, bias, equal
        self._bench = type("CandidateBench", (), {"log": staticmethod(lambda _text: None)})
        self.asked = []

    def measure(self, recipe):
        self.asked.append(recipe)
        snr = self.base[recipe.observer] + sum(self.gains.get(k, 0.0) for k in recipe.keep)
        snr += self._bias * recipe.correct_bias + self._equal * recipe.equalise
        return QualityDrop(10, 0.01, 0.0, 50.0, snr, "x.png", 0.02)


def ranking(*layers):
    return [LayerCost(layer, 0.0, 0.0, 0.0, 0.0, 0.0) for layer in layers]


def test_the_best_ranges_are_taken_and_corrections_only_if_they_help():
    best = Pretended().best_ranges(Recipe())
    assert (best.observer, best.correct_bias, best.equalise) == ("percentile", True, False)


@pytest.mark.parametrize(
    ("bias", "equal", "taken"),
    [(0.2, 0.2, (True, False)), (0.05, 0.6, (False, True)), (0.2, 0.6, (True, True))],
)
def test_equalising_must_gain_more_than_correcting_the_bias(bias, equal, taken):
    best = Pretended(bias, equal).best_ranges(Recipe())
    assert (best.correct_bias, best.equalise) == taken


def test_the_fewest_layers_are_kept():
    # 16.5 + a 3 = 19.5, + b 2 = 21.5: enough; without a it would be 18.5.
    recipe, drop = Pretended().run(BEST, ranking("a", "b", "c"))
    assert recipe.keep == ("final", "a", "b")
    assert drop.residual_snr_db == 21.5


def test_layers_that_turn_out_unneeded_are_given_back():
    # In this order c and b come first (19.5), then a (22.5); without c it is still 21.5.
    recipe, drop = Pretended().run(BEST, ranking("c", "b", "a"))
    assert recipe.keep == ("final", "b", "a")
    assert drop.residual_snr_db == 21.5


def test_out_of_reach_is_an_error():
    with pytest.raises(ValueError, match=r"no recipe keeps .* residual SNR 19\.50 dB"):
        Pretended().run(BEST, ranking("a"))


def test_notebook_goes_on_and_refuses_another_experiment(tmp_path):
    path = tmp_path / "n.json"
    first = ResultsCache(path, {"size": [64, 64]})
    assert first.get("x", lambda: 1.5) == 1.5
    again = ResultsCache(path, {"size": [64, 64]})

    def forbidden():
        raise AssertionError("was measured already")

    assert again.get("x", forbidden) == 1.5
    assert again.entries() == {"x": 1.5}
    with pytest.raises(ValueError, match=r"another experiment \(other size\)"):
        ResultsCache(path, {"size": [64, 96]})
    assert ResultsCache(path, {"size": [64, 96]}, force=True).entries() == {}
    path.write_text("{")
    with pytest.raises(ValueError, match="not a results cache"):
        ResultsCache(path, {})


def test_limits_need_both():
    good = QualityDrop(1, 0.05, 0, 50, 21, "x", 0.1)
    assert LIMITS.met_by(good)
    assert not LIMITS.met_by(dataclasses.replace(good, psnr_drop_db=0.11))
    assert not LIMITS.met_by(dataclasses.replace(good, residual_snr_db=19.9))
