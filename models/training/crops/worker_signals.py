"""Signals in loader processes: those meant for the whole run must not end its loaders.

`timeout`, systemd, batch systems and Ctrl-C in a terminal signal every process of a run. The
training process needs its loaders until the step at hand is over, so they leave signals to it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerSignals:
    """Called first in each loader process, as ``worker_init_fn``; made in the training process.

    A loader still ends with the process that started it: it is told to through its queue, it
    looks every few seconds whether that process lives (both by PyTorch), and it obeys SIGTERM when
    that process has died or is ending. The last matters where an exception keeps the loader's
    iterator alive: `multiprocessing` then ends its daemons by SIGTERM and waits for them.
    """

    def __init__(self) -> None:
        self._parent = os.getpid()
        # Without a lock: a signal handler that waits for one could wait for ever.
        self._ending = multiprocessing.RawValue(ctypes.c_bool, False)
        # Before `multiprocessing` terminates its daemons, in child processes too: not `atexit`.
        Finalize(None, _set, args=(self._ending,), exitpriority=0)

    def __call__(self, _worker: int) -> None:
        """In the loader process: one OpenCV thread, and signals as described above."""
        import cv2

        cv2.setNumThreads(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminated)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _terminated(self, _number: int, _frame: FrameType | None) -> None:
        if self._ending.value or os.getppid() != self._parent:
            os._exit(0)


def _set(flag: ctypes.c_bool) -> None:
    flag.value = True


@contextmanager
def held_back() -> Generator[None]:
    """Signals wait while loader processes start, which inherit that until they are ready.

    Otherwise one that came before `WorkerSignals` was called would end them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
