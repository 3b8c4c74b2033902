"""uvicorn for one application, with time limits on slow clients and an end that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Generator
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..optional import require
from .app import Service
from .settings import Limits
from .unread import Application

if TYPE_CHECKING:
    from uvicorn import Server
    from uvicorn.protocols.http.h11_impl import H11Protocol

_KEEP_ALIVE_S = 15
_MOST_HEAD_BYTES = 16 << 10


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is taken or not this machine's; the message says which.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --port"
        ) from error


def serve_until_signal(
    app: Application, service: Service, listening: socket.socket, *, drain_delay_s: float
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    After the first signal ``/readyz`` answers 503 while new pictures are still taken for
    ``drain_delay_s`` seconds, in which load balancers notice; then the socket is closed, and what
    was accepted is answered. A second signal skips the delay; a third ends at once.

    Raises:
        MissingDependencyError: uvicorn is not installed.
    """
    uvicorn = require("uvicorn", extra="serve")
    logger = logging.getLogger("uvicorn.error")
    # Of clients' faults, nothing; of ours, the traceback, on standard error.
    logger.setLevel(logging.ERROR)
    limits = service.settings.limits
    config = uvicorn.Config(
        app,
        http=_timed_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
    )
    server: Server = _draining_server(service, drain_delay_s)(config)
    server.run(sockets=[listening])


def _draining_server(service: Service, drain_delay_s: float) -> type[Server]:
    """`uvicorn.Server`, which would close idle connections at once, with a delay before that."""
    uvicorn = require("uvicorn", extra="serve")

    class DrainingServer(uvicorn.Server):
        """Ends in steps; returns normally, so that the caller can stop the replicas."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            """As uvicorn's, which raises the signal again after the end."""
            if threading.current_thread() is not threading.main_thread():
                yield  # others cannot listen to signals
                return
            handled = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in handled}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """A signal; ``sig`` and ``frame`` are not read."""
            del sig, frame
            if self.should_exit:
                self.force_exit = True
            elif service.draining:
                self.should_exit = True
            else:
                service.draining = True
                sys.stderr.write(f"ending: {service.inside} pictures inside\n")

        async def main_loop(self) -> None:
            """Until told to end, and the delay after it."""
            ends_at: float | None = None
            loop = asyncio.get_running_loop()
            counter = 0
            while not await self.on_tick(counter):
                counter = (counter + 1) % 864_000  # uvicorn renews the Date header by it
                await asyncio.sleep(0.1)
                if service.draining:
                    ends_at = ends_at or loop.time() + drain_delay_s
                    self.should_exit = self.should_exit or loop.time() >= ends_at

    return DrainingServer


def _timed_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's HTTP protocol, which alone waits forever for a head, and for a slow reader."""
    protocol = require("uvicorn.protocols.http.h11_impl", extra="serve").H11Protocol

    class TimedProtocol(protocol):
        """Closes connections whose head does not come, or whose client does not read."""

        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
            super().__init__(*arguments, **options)
            self._head: asyncio.TimerHandle | None = None
            self._reader: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._head = self.loop.call_later(limits.header_s, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._head = _cancelled(self._head)
            elif self._head is None and not self.transport.is_closing():
                self._head = self.loop.call_later(limits.header_s, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reader = self.loop.call_later(limits.header_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._reader = _cancelled(self._reader)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head = _cancelled(self._head)
            self._reader = _cancelled(self._reader)
            super().connection_lost(exc)

    return TimedProtocol


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    """Cancel the timer; None, for the name that held it."""
    if timer is not None:
        timer.cancel()
