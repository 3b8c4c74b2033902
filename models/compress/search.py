"""Search for widths under a budget: drop what costs the most time for the least importance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..network.registry import build_generator
from ..network.widths import Widths
from .groups import Group, groups_of, with_widths
from .importance import Importance
from .latency import rounded

Cost = Callable[[Widths], float]
# A group whose halving saves less than this share of the time keeps at least half its channels:
# importance is a first-order estimate, not to be trusted so far away for so little.
_LITTLE = 0.01


@dataclass(frozen=True)
class Limits:
    """What a search may not do.

    Attributes:
        step: Widths are multiples of it, where they are not the whole.
        min_share: Every group keeps at least this share of its channels.
        fixed: First words of groups that stay as they are, such as ``streams``.
        droppable: Groups whose whole block may be left out; see `droppable_groups`.
    """

    step: int = 8
    min_share: float = 0.3
    fixed: tuple[str, ...] = ()
    droppable: tuple[Group, ...] = ()


class BudgetError(ValueError):
    """The budget is below what the narrowest network costs; ``least`` is that."""

    def __init__(self, least: float) -> None:
        super().__init__(f"the narrowest network costs {least:.4g}")
        self.least = least


def floors(widths: Widths, cost: Cost, limits: Limits) -> dict[Group, int]:
    """The fewest channels that each group keeps."""
    whole = cost(widths)
    found: dict[Group, int] = {}
    for group, width in groups_of(widths).items():
        half = rounded(width / 2, limits.step, width)
        saved = whole - cost(with_widths(widths, {group: half}))
        share = limits.min_share if saved >= _LITTLE * whole else max(limits.min_share, 0.5)
        least = -(-int(width * share) // limits.step) * limits.step
        found[group] = width if group[0] in limits.fixed else min(width, max(least, limits.step))
    return found


def narrowest(widths: Widths, cost: Cost, limits: Limits) -> Widths:
    """The record with every group at its floor."""
    return with_widths(widths, floors(widths, cost, limits))


def search_widths(
    widths: Widths, importance: Importance, cost: Cost, budget: float, limits: Limits
) -> Widths:
    """Greedy search: `Limits.step` channels at a time, the least importance per cost first.

    Args:
        widths: The record to start from.
        importance: Of every channel; the least important of a group go first.
        cost: What a record costs, in the budget's unit.
        budget: The most that the result may cost.
        limits: See `Limits`.

    Raises:
        BudgetError: the narrowest network costs more than the budget.
    """
    least = floors(widths, cost, limits)
    found, spent = widths, cost(widths)
    lost = {group: _lost(values) for group, values in importance.items()}
    while spent > budget:
        best: tuple[float, Widths, float] | None = None
        for group, width in groups_of(found).items():
            narrower = (width - 1) // limits.step * limits.step
            choices = [narrower] if narrower >= least[group] else []
            choices += [0] if group in limits.droppable else []
            for fewer in choices:
                record = with_widths(found, {group: fewer})
                saved = spent - cost(record)
                whole = len(importance[group])
                more = float(lost[group][whole - fewer] - lost[group][whole - width])
                price = more / saved if saved > 0 else float("inf")
                if best is None or price < best[0]:
                    best = (price, record, spent - saved)
        if best is None:
            raise BudgetError(spent)
        _, found, spent = best
    return found


def even_widths(widths: Widths, cost: Cost, budget: float, limits: Limits) -> Widths:
    """The widest record under the budget in which all groups keep the same share.

    Raises:
        BudgetError: even the smallest share costs more than the budget.
    """
    whole = groups_of(widths)
    record = widths
    for percent in range(100, 4, -1):
        record = with_widths(
            widths,
            {
                group: width
                if group[0] in limits.fixed
                else rounded(width * percent / 100, limits.step, width)
                for group, width in whole.items()
            },
        )
        if cost(record) <= budget:
            return record
    raise BudgetError(cost(record))


def kept_channels(importance: Importance, widths: Widths) -> dict[Group, list[int]]:
    """The most important channels of each group, as many as the record says, perhaps none."""
    found = groups_of(widths)
    return {
        group: sorted(values.argsort(descending=True, stable=True)[: found.get(group, 0)].tolist())
        for group, values in importance.items()
    }


def droppable_groups(backbone: str, widths: Widths) -> tuple[Group, ...]:
    """Groups of blocks that add their input to their output: without them, the input is left."""
    found: list[Group] = []
    for group in groups_of(widths):
        if group[0] == "hidden":
            with contextlib.suppress(ValueError), torch.device("meta"):
                build_generator(backbone, widths=with_widths(widths, {group: 0}))
                found.append(group)
    return tuple(found)


def _lost(values: Tensor) -> Tensor:
    """Importance lost with the n least important channels: (channels + 1,), from 0."""
    return torch.cat([values.new_zeros(1), values.sort().values.cumsum(0)])
