"""One thread infers for several that prepare and finish frames."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator

import numpy as np

from ..base import Runner
from ..pictures.tiling import TilingOptions
from .stages import StageClock


class StoppedError(RuntimeError):
    """Inference ended while a frame waited for it; the reason is raised elsewhere."""


class _Request:
    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.result: np.ndarray | None = None
        self.done = threading.Event()


class InferenceServer:
    """Infers in the thread that calls `serve`, in the order of the requests.

    It calls `Runner.infer_many`, so that a runner keeps as many requests in flight as it has. The
    runner is used by that one thread alone.
    """

    def __init__(self, runner: Runner, clock: StageClock) -> None:
        self._runner = runner
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._taken: deque[_Request] = deque()
        self._working = 0  # threads that may ask for something without an answer to come first
        self._closed = False
        self._busy_since = 0.0

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """Around everything that a thread does with a frame, `infer` included."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def infer(self, image: np.ndarray) -> np.ndarray:
        """As `Runner.infer`; waits until the other thread has done it.

        Raises:
            StoppedError: the server was closed, or failed.
        """
        request = _Request(image)
        with self._changed:
            if self._closed:
                raise StoppedError
            self._waiting.append(request)
            self._working -= 1
            self._changed.notify_all()
        request.done.wait()
        if request.result is None:
            raise StoppedError
        return request.result

    def serve(self) -> None:
        """Infer until `close` is called.

        Raises:
            TypeError, ValueError, MemoryError: as `Runner.infer`.
        """
        try:
            while self._wait():
                for result in self._runner.infer_many(self._images()):
                    self._answer(result)
        finally:
            self.close()

    def close(self) -> None:
        """Stop; whoever waits gets a `StoppedError`."""
        with self._changed:
            self._closed = True
            for request in (*self._waiting, *self._taken):
                request.done.set()
            self._waiting.clear()
            self._changed.notify_all()

    def _count(self, change: int) -> None:
        with self._changed:
            self._working += change
            self._changed.notify_all()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def _images(self) -> Iterator[np.ndarray]:
        """Requests as they come; ends when no thread can bring another before an answer."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._closed or (self._taken and not self._working)
                )
                if not self._waiting:
                    return
                request = self._waiting.popleft()
                if not self._taken:
                    self._busy_since = time.perf_counter()
                self._taken.append(request)
            yield request.image

    def _answer(self, result: np.ndarray) -> None:
        with self._changed:
            request = self._taken.popleft()
            if not self._taken:
                self._clock.add("infer", time.perf_counter() - self._busy_since)
            request.result = result
            self._working += 1  # for the thread that goes on with it
        request.done.set()


def deblurred(
    server: InferenceServer,
    runner: Runner,
    pixels: np.ndarray,
    options: TilingOptions,
    clock: StageClock,
) -> np.ndarray:
    """A frame deblurred as a picture is; preparing and finishing count as ``convert``."""
    waited_s = 0.0

    def infer(image: np.ndarray) -> np.ndarray:
        nonlocal waited_s
        begin = time.perf_counter()
        result = server.infer(image)
        waited_s += time.perf_counter() - begin
        return result

    begin = time.perf_counter()
    with server.working():
        sharp = runner.deblur(pixels, options, infer=infer)
    clock.add("convert", time.perf_counter() - begin - waited_s)
    return sharp


def inference_alone_fps(
    runner: Runner, pixels: np.ndarray, options: TilingOptions, *, frames: int = 5
) -> float:
    """Frames a second of inference alone: one frame's tiles, several times, nothing else running.

    Args:
        runner: Open; it is warmed up first.
        pixels: A frame, uint8 or uint16 (H, W, 3).
        options: How it is cut.
        frames: So many are timed, after as many requests as are in flight.
    """
    tiles: list[np.ndarray] = []

    def keep(image: np.ndarray) -> np.ndarray:
        tiles.append(image.copy())
        return image

    runner.deblur(pixels, options, infer=keep)
    for _ in runner.infer_many(tiles * max(1, runner.in_flight)):
        pass
    begin = time.perf_counter()
    for _ in runner.infer_many(tiles * frames):
        pass
    return frames / (time.perf_counter() - begin)
