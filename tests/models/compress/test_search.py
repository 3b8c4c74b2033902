"""Work, the latency model and the search, against independent counts and exhaustive answers."""

import dataclasses

import numpy as np
import pytest
import torch
from edgedeblur.models.compress.groups import groups_of, with_widths
from edgedeblur.models.compress.latency import cost_table, fit, sample_records
from edgedeblur.models.compress.search import (
    BudgetError,
    Limits,
    droppable_groups,
    even_widths,
    floors,
    kept_channels,
    narrowest,
    search_widths,
)
from edgedeblur.models.compress.work import Work
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.models.network.registry import build_generator, get_backbone

from tests.models.network.test_widths import NARROW

WHOLE = get_backbone("mobilenet_dsc").widths
SIZE = (64, 96)


@pytest.fixture(scope="module")
def work():
    return Work("mobilenet_dsc", WHOLE, SIZE)


@pytest.fixture(scope="module")
def importance():
    """Random, so that the least important channels are anywhere."""
    torch.manual_seed(0)
    return {
        group: torch.rand(width, dtype=torch.float64) for group, width in groups_of(WHOLE).items()
    }


@pytest.mark.parametrize(
    "record",
    [
        WHOLE,
        dataclasses.replace(WHOLE, smooth=24, streams=(16, 8, 24, 32, 64, 96, 160)),
        dataclasses.replace(WHOLE, hidden=(*WHOLE.hidden[:3], 0, *WHOLE.hidden[4:13], 0)),
    ],
)
def test_work_counts_what_the_network_does(work, record):
    network = build_generator("mobilenet_dsc", widths=record).eval()
    assert work.macs(record) * 1e6 == pytest.approx(conv_macs(network, SIZE))
    moved = {"fine": 0, "coarse": 0}
    depthwise = 0

    def count(layer, inputs, output):
        nonlocal depthwise
        fine = inputs[0].shape[-1] >= SIZE[1] / 4
        moved["fine" if fine else "coarse"] += inputs[0].numel() + output.numel()
        depthwise += output.numel() * 9 if layer.groups > 1 else 0

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, *SIZE))
    found = work.features(record)
    assert found[0] == 1
    assert found[1:4] == pytest.approx(
        (moved["fine"] / 1e6, moved["coarse"] / 1e6, depthwise / 1e6)
    )


def test_fit_finds_the_weights_that_made_the_times():
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 10, (12, 5))
    truth = np.array([2.0, 0.5, 0.0, 0.01, 1.5])
    model = fit(rows, rows @ truth)
    assert model.weights == pytest.approx(tuple(truth), abs=1e-9)
    assert model.error(rows, rows @ truth) == pytest.approx(0, abs=1e-12)
    assert model.error(rows[:1], [model.ms(rows[0]) * 2]) == pytest.approx(0.5)


def test_fit_never_gives_more_work_a_negative_price():
    rng = np.random.default_rng(1)
    rows = rng.uniform(1, 10, (12, 4))
    model = fit(rows, rows @ np.array([1.0, 1.0, 1.0, -0.2]))
    assert min(model.weights) == 0
    assert model.weights[3] == 0
    with pytest.raises(ValueError, match="two networks"):
        fit(rows[:1], [1.0])
    with pytest.raises(ValueError, match="above 0"):
        fit(rows, [0.0] * 12)


def test_samples_are_different_and_lie_within_the_whole():
    records = sample_records(WHOLE, 9, step=8)
    assert records[0] == WHOLE
    assert len(set(records)) == len(records) == 9
    for record in records[1:]:
        for group, width in groups_of(record).items():
            assert width <= groups_of(WHOLE)[group]
            assert width % 8 == 0


def test_cost_table_is_the_model_at_one_narrower_group(work):
    model = fit([work.features(r) for r in sample_records(WHOLE, 8, step=8)], np.arange(8, 0, -1.0))
    table = cost_table(WHOLE, model, work.features, step=16)
    assert list(table["smooth"]) == [64, 48, 32, 16]
    narrower = with_widths(WHOLE, {("smooth", 0): 32})
    assert table["smooth"][32] == pytest.approx(model.ms(work.features(narrower)), abs=1e-3)


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_search_keeps_the_budget_and_the_limits(work, importance, share):
    budget = share * work.macs(WHOLE)
    limits = Limits(step=8, min_share=0.25, fixed=("streams",))
    found = search_widths(WHOLE, importance, work.macs, budget, limits)
    assert work.macs(found) <= budget
    assert found.streams == WHOLE.streams
    least = floors(WHOLE, work.macs, limits)
    for group, width in groups_of(found).items():
        assert width >= least[group]
        assert width % 8 == 0


def test_search_takes_the_cheapest_importance_first():
    """Two groups, one price per channel: the less important channels go, whoever has them."""
    widths = dataclasses.replace(NARROW, smooth=12, smooth2=8)
    scores = {g: torch.full((w,), 100.0).double() for g, w in groups_of(widths).items()}
    scores["smooth", 0] = torch.tensor([1.0] * 4 + [50.0] * 8).double()
    scores["smooth2", 0] = torch.tensor([2.0] * 4 + [60.0] * 4).double()
    cost = lambda record: float(record.smooth + record.smooth2 + 1000)  # noqa: E731
    limits = Limits(step=4, min_share=0.3)
    # The thousand makes both halvings small, so half of each is the least.
    found = search_widths(widths, scores, cost, 1016.0, limits)
    assert (found.smooth, found.smooth2) == (8, 8)
    found = search_widths(widths, scores, cost, 1012.0, limits)
    assert (found.smooth, found.smooth2) == (8, 4)
    kept = kept_channels(scores, found)
    assert kept["smooth", 0] == list(range(4, 12))
    assert kept["smooth2", 0] == list(range(4, 8))


def test_a_budget_that_nothing_keeps_says_what_can_be_reached(work, importance):
    limits = Limits(step=8, min_share=0.5)
    least = work.macs(narrowest(WHOLE, work.macs, limits))
    with pytest.raises(BudgetError) as caught:
        search_widths(WHOLE, importance, work.macs, least * 0.9, limits)
    assert caught.value.least == pytest.approx(least)
    assert work.macs(search_widths(WHOLE, importance, work.macs, least, limits)) <= least


def test_blocks_that_only_add_may_be_dropped(work, importance):
    droppable = droppable_groups("mobilenet_dsc", WHOLE)
    assert droppable == tuple(("hidden", i) for i in (1, 3, 4, 6, 7, 8, 10, 11, 13))
    cheap = dict(importance)
    cheap["hidden", 3] = torch.zeros(192).double()
    found = search_widths(
        WHOLE, cheap, work.macs, 0.9 * work.macs(WHOLE), Limits(droppable=droppable)
    )
    assert found.hidden[3] == 0
    assert kept_channels(cheap, found)["hidden", 3] == []


def test_even_widths_keep_the_same_share_everywhere(work):
    found = even_widths(WHOLE, work.macs, 0.5 * work.macs(WHOLE), Limits(step=8))
    assert work.macs(found) <= 0.5 * work.macs(WHOLE)
    shares = {
        width / groups_of(WHOLE)[group] for group, width in groups_of(found).items() if width >= 64
    }
    assert max(shares) - min(shares) < 0.13
    with pytest.raises(BudgetError):
        even_widths(WHOLE, work.macs, 1.0, Limits(step=8))
