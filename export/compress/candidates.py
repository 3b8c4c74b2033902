"""Candidates of a compression run: networks near the budget, each measured on the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...models.compress.groups import groups_of
from ...models.compress.importance import Importance
from ...models.compress.latency import LatencyModel, cost_table, fit, sample_records
from ...models.compress.search import (
    BudgetError,
    Limits,
    droppable_groups,
    even_widths,
    narrowest,
    search_widths,
)
from ...models.compress.work import Work
from ...models.network.widths import Widths
from ...runtimes.machine import machine
from .steps import Steps

_CHECKED = 3  # networks that are measured but not fitted, to know the model's error
_ATTEMPTS = 4  # at a record whose measured time is within the budget
_CLOSE = 0.95  # of the budget is close enough
_WIDER = 1.4  # one candidate costs this much more than the budget, to show what it costs


@dataclass(frozen=True)
class Candidate:
    """A network that might do.

    Attributes:
        name: How it was found.
        widths: Its record.
        cost: Milliseconds as measured, or multiply-accumulates where the budget is in those.
        fits: Whether that is within the budget.
        gains_db: Mean gain by validation set, after its trial.
    """

    name: str
    widths: Widths
    cost: float
    fits: bool
    gains_db: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        body = dataclasses.asdict(self)
        return {**body, "widths": self.widths.to_dict()}


@dataclass(frozen=True)
class Plan:
    """Candidates, and the evidence behind them.

    ``unit`` is ``ms`` or ``MACs``; ``whole`` the unpruned network's cost in it, ``budget`` the most
    allowed. ``model`` holds the latency model's weights, error and table, if times were measured.
    """

    candidates: list[Candidate]
    unit: str
    whole: float
    budget: float
    model: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the candidates."""
        return {
            "unit": self.unit,
            "unpruned_cost": self.whole,
            "budget": self.budget,
            "latency_model": self.model,
            "machine": machine(),
        }


def propose(run: Steps, importance: Importance) -> Plan:
    """Candidates within the budget, and one above it, all measured.

    Raises:
        ValueError: the budget is below what the narrowest network costs; the message says what
            can be reached.
    """
    widths = run.generator.widths
    work = Work(run.source.backbone, widths, run.wanted.size, decoder_norm=run.source.decoder_norm)
    limits = _limits(run, widths)
    if run.wanted.budget.macs is not None:
        return _by_macs(run, importance, work, limits)
    return _by_time(run, importance, work, limits)


def _limits(run: Steps, widths: Widths) -> Limits:
    known = {group[0] for group in groups_of(widths)}
    for name in run.wanted.fixed:
        if name not in known:
            raise ValueError(f"--keep {name}: no such kind of widths; known: {', '.join(known)}")
    return Limits(run.wanted.step, run.wanted.min_share, run.wanted.fixed)


def _by_macs(run: Steps, importance: Importance, work: Work, limits: Limits) -> Plan:
    widths = run.generator.widths
    cost = lambda record: work.macs(record) * 1e6  # noqa: E731
    budget = float(run.wanted.budget.macs or 0)
    candidates: list[Candidate] = []
    for name, make in _ways(run, importance, cost, limits).items():
        try:
            record = make(budget)
        except BudgetError as error:
            if name == "search":
                raise ValueError(
                    f"--budget-macs {budget:.4g} is below what the narrowest network takes: "
                    f"{error.least:.4g} at {run.wanted.size[0]}x{run.wanted.size[1]}, of "
                    f"{cost(widths):.4g}; lower --min-share, or ask for more"
                ) from error
            continue
        candidates.append(Candidate(name, record, cost(record), fits=True))
    return Plan(candidates, "MACs", cost(widths), budget, {})


def _by_time(run: Steps, importance: Importance, work: Work, limits: Limits) -> Plan:
    widths = run.generator.widths
    records = sample_records(widths, run.wanted.networks + _CHECKED, step=limits.step)
    times = run.times_ms(records, importance, "sample")
    rows = [work.features(record) for record in records]
    model = fit(rows[:-_CHECKED], times[:-_CHECKED])
    error = model.error(rows[-_CHECKED:], times[-_CHECKED:])
    run.log(f"the latency model is off by {100 * error:.1f} % on networks it has not seen")
    cost = lambda record: model.ms(work.features(record))  # noqa: E731
    least = narrowest(widths, cost, limits)
    whole_ms, least_ms = run.times_ms([widths, least], importance, "ends")
    wanted = run.wanted.budget
    budget = wanted.ms if wanted.ms is not None else (wanted.ratio or 0) * whole_ms
    if least_ms > budget:
        raise ValueError(
            f"the budget of {budget:.1f} ms is below what the narrowest network takes here; "
            f"{least_ms:.1f} to {whole_ms:.1f} ms can be reached ({run.wanted.target}, "
            f"{run.wanted.size[0]}x{run.wanted.size[1]}, {run.wanted.threads} threads, "
            f"{machine()}); lower --min-share, or ask for more"
        )
    # To the model's milliseconds: it was fitted in another minute than this, and is truer to narrow
    # networks, whose maps stay in the caches, than to the whole one.
    scale = cost(least) / least_ms
    candidates: list[Candidate] = []
    for name, make in _ways(run, importance, cost, limits).items():
        try:
            candidates.append(_within(run, importance, name, make, budget, whole_ms, scale))
        except BudgetError:
            run.log(f"{name}: no network within the budget")
    if not any(each.name == "search" for each in candidates):
        candidates.append(Candidate("narrowest", least, least_ms, fits=True))
    most = max(min(cost(widths), budget * scale * _WIDER), cost(least))
    wider = search_widths(widths, importance, cost, most, limits)
    (wider_ms,) = _measured(run, importance, [wider], whole_ms)
    candidates.append(Candidate("wider", wider, wider_ms, fits=wider_ms <= budget))
    evidence = _evidence(records, times, model, error, work, widths, limits)
    return Plan(candidates, "ms", whole_ms, budget, evidence)


def _ways(
    run: Steps, importance: Importance, cost: Callable[[Widths], float], limits: Limits
) -> dict[str, Callable[[float], Widths]]:
    """Ways to a record within a budget: by importance, with whole blocks too, and evenly."""
    widths = run.generator.widths
    droppable = droppable_groups(run.source.backbone, widths)
    deep = dataclasses.replace(limits, droppable=droppable)
    return {
        "search": lambda budget: search_widths(widths, importance, cost, budget, limits),
        "search with depth": lambda budget: search_widths(widths, importance, cost, budget, deep),
        "even": lambda budget: even_widths(widths, cost, budget, limits),
    }


def _within(
    run: Steps,
    importance: Importance,
    name: str,
    make: Callable[[float], Widths],
    budget: float,
    whole_ms: float,
    scale: float,
) -> Candidate:
    """The slowest record found whose measured time is within the budget.

    The model is off by some percent, so what was asked of it is corrected by what was measured,
    until the time is between `_CLOSE` of the budget and the budget.

    Raises:
        BudgetError: there is none.
    """
    target, took = budget * scale, budget
    best: Candidate | None = None
    for _ in range(_ATTEMPTS):
        try:
            record = make(target)
        except BudgetError:
            break
        (took,) = _measured(run, importance, [record], whole_ms)
        run.log(f"{name}: {took:.1f} ms measured, the budget is {budget:.1f}")
        if took <= budget and (best is None or took > best.cost):
            best = Candidate(name, record, took, fits=True)
        if _CLOSE * budget <= took <= budget or record == run.generator.widths:
            break
        target *= 0.985 * budget / took
    if best is None:
        raise BudgetError(took)
    return best


def _measured(
    run: Steps, importance: Importance, records: list[Widths], whole_ms: float
) -> list[float]:
    """Times of records in the unit of ``whole_ms``: the unpruned network runs beside them.

    A machine is faster in one minute than in the next; the ratio of two networks that take turns
    is not.
    """
    whole, *times = run.times_ms([run.generator.widths, *records], importance, "candidate")
    return [ms * whole_ms / whole for ms in times]


def _evidence(
    records: list[Widths],
    times: list[float],
    model: LatencyModel,
    error: float,
    work: Work,
    widths: Widths,
    limits: Limits,
) -> dict[str, Any]:
    from ...models.compress.work import FEATURES

    return {
        "networks": [
            {"widths": record.to_dict(), "ms": ms, "predicted_ms": model.ms(work.features(record))}
            for record, ms in zip(records, times, strict=True)
        ],
        "held_out": _CHECKED,
        "mean_relative_error": error,
        "weights": dict(zip(FEATURES, model.weights, strict=True)),
        "ms_by_width": cost_table(widths, model, work.features, step=limits.step),
    }
