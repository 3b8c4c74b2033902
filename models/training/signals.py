"""SIGINT and SIGTERM let a run save before it ends, since borrowed machines are taken back so."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Generator
from types import FrameType

from .trainer import Trainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# `timeout` signals its command and then the command's group; `uv run` passes on a Ctrl-C that the
# terminal has sent as well. So what follows at once is the same request.
_SAME_REQUEST_S = 1.0


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer, *, enabled: bool = True) -> Generator[list[int]]:
    """Ask ``trainer`` to stop at the first signal; one a second later does what it did before.

    Args:
        trainer: Saves after the step at hand, then returns from `Trainer.run`.
        enabled: False leaves signals alone: processes that train together would stop at
            different steps and wait for each other.

    Yields:
        The numbers of the signals that arrived, filled as they do.
    """
    received: list[int] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    asked_s: list[float] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if asked_s and time.monotonic() - asked_s[0] >= _SAME_REQUEST_S:
            for each in _SIGNALS:
                signal.signal(each, before[each])
            signal.raise_signal(number)
            return
        received.append(number)
        asked_s.append(time.monotonic())
        trainer.request_stop()

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])
