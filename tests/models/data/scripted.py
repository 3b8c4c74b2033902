"""A generator whose draws are written down, so that what follows from them can be worked out."""

from __future__ import annotations

import numpy as np


class Scripted:
    """Takes the place of `numpy.random.Generator`: every draw is the next share of its range.

    Attributes:
        asked: The ranges that were asked for, in order: ``(low, high)`` or ``(low, high, count)``;
            of a normal deviate, mean and deviation; of `random`, nothing.
    """

    def __init__(self, *shares):
        self.shares, self.asked = list(shares), []

    def random(self):
        self.asked.append(())
        return self.shares.pop(0)

    def uniform(self, low, high, count=None):
        self.asked.append((low, high) if count is None else (low, high, count))
        share = self.shares.pop(0)
        return low + (high - low) * (share if count is None else np.asarray(share))

    def integers(self, low, high):
        self.asked.append((low, high))
        return low + int(self.shares.pop(0) * (high - low))

    def normal(self, mean, deviation):
        self.asked.append((mean, deviation))
        return mean + deviation * self.shares.pop(0)
