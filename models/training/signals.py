"""SIGINT and SIGTERM let a run save before it ends, since borrowed machines are taken back so."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType

from .trainer import Trainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer, *, enabled: bool = True) -> Generator[list[int]]:
    """Ask ``trainer`` to stop at the first signal; the next one does what it did before.

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

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        trainer.request_stop()
        for each in _SIGNALS:
            signal.signal(each, before[each])

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])
