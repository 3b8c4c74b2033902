"""A latency model: milliseconds as a weighted sum of what a network moves and computes.

The weights are fitted to measured times of whole networks of many widths, on one machine and one
runtime; nothing in it is assumed. `LatencyModel.error` says how far it is off on networks that it
has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..network.widths import Widths
from .groups import group_name, groups_of, with_widths

Features = Callable[[Widths], tuple[float, ...]]


@dataclass(frozen=True)
class LatencyModel:
    """``weights`` are milliseconds per unit of each feature, all at least 0."""

    weights: tuple[float, ...]

    def ms(self, features: Sequence[float]) -> float:
        """The predicted time of a network with these features."""
        return float(np.dot(self.weights, features))

    def error(self, rows: Sequence[Sequence[float]], times_ms: Sequence[float]) -> float:
        """Mean of |predicted - measured| / measured over networks."""
        predicted = np.array([self.ms(row) for row in rows])
        return float(np.mean(np.abs(predicted - np.array(times_ms)) / np.array(times_ms)))


def fit(rows: Sequence[Sequence[float]], times_ms: Sequence[float]) -> LatencyModel:
    """Least squares of the relative error, with weights of at least 0.

    A weight that would be negative is set to 0 and the others are fitted again, the most negative
    first: more work never takes less time, and a search would exploit a model that says so.

    Raises:
        ValueError: fewer networks than two, or a time that is not above 0.
    """
    table, times = np.array(rows, dtype=float), np.array(times_ms, dtype=float)
    if len(table) < 2 or not (times > 0).all():
        raise ValueError("a latency model needs the times of two networks or more, all above 0")
    scaled = table / times[:, None]
    active = list(range(table.shape[1]))
    weights = np.zeros(table.shape[1])
    while active:
        found = np.linalg.lstsq(scaled[:, active], np.ones(len(table)), rcond=None)[0]
        if (found >= 0).all():
            weights[active] = found
            break
        active.pop(int(found.argmin()))
    return LatencyModel(tuple(float(weight) for weight in weights))


def cost_table(
    widths: Widths, model: LatencyModel, features: Features, *, step: int
) -> dict[str, dict[int, float]]:
    """For each group, the predicted ms of the network at narrower widths of that group alone."""
    table: dict[str, dict[int, float]] = {}
    for group, width in groups_of(widths).items():
        narrower = [width, *range(width - width % step or width - step, 0, -step)]
        table[group_name(group)] = {
            each: round(model.ms(features(with_widths(widths, {group: each}))), 3)
            for each in dict.fromkeys(narrower)
            if each >= step or each == width
        }
    return table


def sample_records(widths: Widths, count: int, *, step: int, seed: int = 0) -> list[Widths]:
    """Records to measure: the whole network, even cuts of it, and random ones.

    Args:
        widths: The record of the unpruned network; it comes first.
        count: How many; at least 5.
        step: Widths are multiples of it.
        seed: Of the random ones.
    """
    whole = groups_of(widths)
    kinds = sorted({group[0] for group in whole})
    shares = [dict.fromkeys(kinds, share) for share in (0.25, 0.5, 0.75)]
    rng = np.random.default_rng(seed)
    while len(shares) < count - 1:
        shares.append({kind: float(rng.choice((0.25, 0.5, 0.75, 1.0))) for kind in kinds})
    return [widths] + [
        with_widths(
            widths,
            {g: rounded(width * each[g[0]], step, width) for g, width in whole.items()},
        )
        for each in shares[: count - 1]
    ]


def rounded(width: float, step: int, most: int) -> int:
    """The nearest multiple of ``step``, at least one and at most ``most``."""
    return min(most, max(step, round(width / step) * step))
