"""The learning rate and the phases at every edge, in numbers that a person can check."""

from __future__ import annotations

import math

import pytest
from edgedeblur.models.training.config import Optim
from edgedeblur.models.training.schedule import (
    backbone_is_frozen,
    decay_span,
    learning_rate,
    norms_are_frozen,
)


def rates(optim, epoch_steps, count):
    return [learning_rate(optim, step, epoch_steps) for step in range(count)]


def test_linear_decay_starts_at_the_rate_and_its_last_step_is_the_end_rate():
    # Two flat epochs of 3 steps, then 2 epochs of decay: 6 steps from 1.1 down to 0.1 in fifths.
    optim = Optim(lr=1.1, lr_end=0.1, flat_epochs=2, decay_epochs=2)
    expected = [1.1] * 6 + [1.1, 0.9, 0.7, 0.5, 0.3, 0.1]
    assert rates(optim, 3, 12) == pytest.approx(expected)
    assert learning_rate(optim, 40, 3) == pytest.approx(0.1)  # stays there


def test_cosine_decay_is_half_a_cosine():
    words = "cosine linear"
    cosine, linear = words.split()  # equal texts, other objects
    optim = Optim(lr=3.0, lr_end=1.0, flat_epochs=1, decay_epochs=1, decay=cosine)
    # 5 steps: the cosine of 0, 45, 90, 135 and 180 degrees, around 2.
    half = math.sqrt(0.5)
    expected = [3.0] * 5 + [3.0, 2 + half, 2.0, 2 - half, 1.0]
    assert rates(optim, 5, 10) == pytest.approx(expected)
    optim = Optim(lr=3.0, lr_end=1.0, flat_epochs=1, decay_epochs=1, decay=linear)
    assert rates(optim, 5, 10) == pytest.approx([3.0] * 5 + [3.0, 2.5, 2.0, 1.5, 1.0])


def test_a_decay_of_one_step_keeps_the_rate_for_it():
    optim = Optim(lr=1.0, lr_end=0.5, flat_epochs=1, decay_epochs=1)
    assert rates(optim, 1, 3) == [1.0, 1.0, 0.5]


def test_a_decay_of_two_steps_ends_with_its_second():
    optim = Optim(lr=1.0, lr_end=0.5, flat_epochs=1, decay_epochs=1)
    assert rates(optim, 2, 4) == [1.0, 1.0, 1.0, 0.5]


def test_warm_up_rises_in_equal_parts_to_the_rate():
    optim = Optim(lr=2.0, lr_end=0.0, flat_epochs=2, decay_epochs=0, warmup_steps=4)
    assert rates(optim, 4, 8) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_without_decay_the_rate_stays_after_the_last_epoch():
    optim = Optim(lr=2.0, lr_end=0.0, flat_epochs=1, decay_epochs=0)
    assert rates(optim, 2, 5) == [2.0] * 5


def test_the_backbone_rests_for_its_epochs_and_no_step_longer():
    optim = Optim(frozen_backbone_epochs=2)
    assert [backbone_is_frozen(optim, step, 3) for step in range(8)] == [True] * 6 + [False] * 2
    assert not backbone_is_frozen(Optim(frozen_backbone_epochs=0), 0, 3)


def test_norms_freeze_for_the_last_epochs():
    optim = Optim(flat_epochs=1, decay_epochs=3, frozen_norm_epochs=2)  # 4 epochs of 3 steps
    frozen = [norms_are_frozen(optim, step, 3) for step in range(12)]
    assert frozen == [False] * 6 + [True] * 6
    assert not norms_are_frozen(Optim(flat_epochs=1, decay_epochs=1), 5, 3)


def test_a_decay_in_steps_takes_the_place_of_the_epochs():
    optim = Optim(lr=1.0, lr_end=0.0, flat_epochs=9, decay_epochs=9, decay_at=2, decay_steps=5)
    assert decay_span(optim, 7) == (2, 5)
    assert rates(optim, 7, 8) == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert decay_span(Optim(flat_epochs=2, decay_epochs=3), 7) == (14, 21)
    assert decay_span(Optim(flat_epochs=2, decay_epochs=3, decay_steps=1), 7) == (0, 1)


def test_norms_freeze_before_the_end_of_a_decay_in_steps():
    optim = Optim(decay_at=4, decay_steps=6, frozen_norm_epochs=1)  # 10 steps, the last 3 of them
    assert [norms_are_frozen(optim, step, 3) for step in range(10)] == [False] * 7 + [True] * 3
