"""Intercepts every call of `infer` that a runner's `deblur` makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

import numpy as np

from ...runtimes.base import Runner

Infer = Callable[[np.ndarray], np.ndarray]


@contextlib.contextmanager
def intercept_infer(
    runner: Runner, hook: Callable[[Infer, np.ndarray], np.ndarray]
) -> Generator[None]:
    """Inside the block, the runner's `infer` calls ``hook(infer, image)`` instead.

    So what is measured is `deblur` as users call it, with its tiles, and not a copy of it.
    """
    infer = runner.infer
    attributes = vars(runner)
    attributes["infer"] = lambda image: hook(infer, image)  # shadows the class's method
    try:
        yield
    finally:
        del attributes["infer"]
