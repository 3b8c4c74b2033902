"""Decodes, deblurs and encodes at the same time, over bounded queues, with the frames in order.

One thread decodes; a few prepare and finish frames; the calling thread infers; one encodes. So
memory holds a fixed number of frames, however long the clip is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..base import Runner
from ..pictures.tiling import TilingOptions
from .clip import Frame
from .inference import InferenceServer, StoppedError, deblurred
from .stages import Rates, StageClock

_POLL_S = 0.05  # how soon a thread that waits for a queue sees that the run has ended
_Item = tuple[Frame, "Future[np.ndarray]"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        rates: What was written, and how fast.
        error: What ended it early; None if all frames were written, or it was asked to stop.
        stopped: It was asked to stop.
    """

    rates: Rates
    error: BaseException | None
    stopped: bool


class Pipeline:
    """One run over a clip.

    Args:
        runner: Open, and used by no one else until `run` returns.
        options: How frames are cut into tiles.
        write: Called in order with each frame and its deblurred pixels, in one thread.
        progress: Called with the number of frames written.
    """

    def __init__(
        self,
        runner: Runner,
        options: TilingOptions,
        write: Callable[[Frame, np.ndarray], None],
        progress: Callable[[int], None],
    ) -> None:
        self._runner = runner
        self._options = options
        self._write = write
        self._progress = progress
        self._clock = StageClock()
        self._server = InferenceServer(runner, self._clock)
        self._workers = runner.in_flight + 2  # the others prepare the next frame, finish the last
        self._queue: queue.Queue[_Item | None] = queue.Queue(maxsize=self._workers)
        self._stop = threading.Event()  # read no more frames
        self._abort = threading.Event()  # drop everything
        self._errors: list[BaseException] = []
        self._written = 0

    def stop(self) -> None:
        """Read no more frames; those that are read are still written. For signal handlers."""
        self._stop.set()

    def run(self, frames: Iterator[Frame]) -> Outcome:
        """Deblur all frames; an error ends the run and is returned, not raised."""
        begin = time.perf_counter()
        with ThreadPoolExecutor(self._workers, "frames") as pool:
            threads = [
                threading.Thread(target=self._decode, args=(frames, pool), name="decode"),
                threading.Thread(target=self._encode, name="encode"),
            ]
            for thread in threads:
                thread.start()
            try:
                with self._collecting():
                    self._server.serve()
            finally:
                self._server.close()  # frames that are inferred are still written
                for thread in threads:
                    thread.join()
        rates = Rates(self._written, time.perf_counter() - begin, dict(self._clock.busy_s))
        error = self._errors[0] if self._errors else None
        return Outcome(rates, error, self._stop.is_set())

    @contextlib.contextmanager
    def _collecting(self) -> Generator[None]:
        try:
            yield
        except StoppedError:
            return  # somebody else has the reason
        except BaseException as error:  # noqa: BLE001 - also of threads: the caller raises it
            self._errors.append(error)

    def _decode(self, frames: Iterator[Frame], pool: ThreadPoolExecutor) -> None:
        try:
            with self._collecting():
                for frame in self._clock.timed("decode", frames):
                    if self._stop.is_set() or self._abort.is_set():
                        break
                    self._put((frame, pool.submit(self._deblur, frame)))
        finally:
            self._put(None)

    def _deblur(self, frame: Frame) -> np.ndarray:
        return deblurred(self._server, self._runner, frame.pixels, self._options, self._clock)

    def _put(self, item: _Item | None) -> None:
        while not self._abort.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_POLL_S)
                return

    def _encode(self) -> None:
        try:
            with self._collecting():
                while (item := self._get()) is not None:
                    frame, future = item
                    sharp = future.result()
                    with self._clock.working("encode"):
                        self._write(frame, sharp)
                    self._written += 1
                    self._progress(self._written)
        finally:
            self._abort.set()
            self._server.close()

    def _get(self) -> _Item | None:
        while not self._abort.is_set():
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=_POLL_S)
        return None
