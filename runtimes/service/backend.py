"""Who answers: replicas of an open artifact, in this process or elsewhere."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from .answer import AbandonedError, open_worker
from .settings import Answer, Ask, Refusal, Settings


class Backend(Protocol):
    """What the HTTP application asks for pictures.

    ``replicas`` is how many answered when `ready` was last asked.
    """

    replicas: int

    async def deblur(self, data: bytes, ask: Ask, within_s: float) -> Answer | Refusal:
        """Answer one picture.

        Cancelling the call ends the work before the next tile.

        Args:
            data: The body of a request.
            ask: What it wants.
            within_s: Seconds after which nobody waits for it.
        """
        ...

    async def ready(self) -> bool:
        """Whether pictures would be answered now."""
        ...

    async def manifest(self) -> dict[str, Any]:
        """The artifact's manifest, as JSON types."""
        ...

    async def close(self) -> None:
        """End, after the pictures that are being answered."""
        ...


class Replica:
    """A worker behind a pool of threads, as a `Backend`; also what Ray Serve runs N times."""

    replicas = 1

    def __init__(self, settings: Settings) -> None:
        """Open the artifact.

        Raises:
            FileNotFoundError, ValueError, MissingDependencyError: as `open_runner`.
        """
        self._worker = open_worker(settings)
        self._pool = ThreadPoolExecutor(settings.at_once, thread_name_prefix="picture")

    async def deblur(self, data: bytes, ask: Ask, within_s: float) -> Answer | Refusal:
        """See `Backend`."""
        gone = threading.Event()
        latest = time.monotonic() + within_s

        def abandoned() -> bool:
            return gone.is_set() or time.monotonic() > latest

        def work() -> Answer | Refusal:
            if abandoned():
                raise AbandonedError
            return self._worker.answer(data, ask, abandoned)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except asyncio.CancelledError:
            gone.set()
            raise
        except AbandonedError:
            return Refusal(504, "the picture took too long; send a smaller one")
        except MemoryError:
            return Refusal(503, "out of memory; send a smaller picture, or later", 10)

    async def ready(self) -> bool:
        """See `Backend`."""
        return True

    async def manifest(self) -> dict[str, Any]:
        """See `Backend`."""
        return self._worker.runner.manifest.to_dict()

    async def close(self) -> None:
        """See `Backend`."""
        await asyncio.to_thread(self._pool.shutdown)
        self._worker.close()
