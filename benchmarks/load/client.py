"""Sends pictures to a service on this machine, at a rate or as fast as it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

_TIMEOUT_S = 120.0
_MOST_REQUESTS = 20_000  # of one run, so that a wrong rate does not run on


@dataclass(frozen=True)
class Sample:
    """One request: seconds from its planned start to its last byte, and the status.

    Status 0 is a connection that failed, or an answer that was cut off.
    """

    seconds: float
    status: int


@dataclass(frozen=True)
class Target:
    """Where pictures go, and the one that is sent."""

    host: str
    port: int
    picture: bytes

    @staticmethod
    def at(address: str, picture: bytes) -> Target:
        """The service at ``http://127.0.0.1:8000``.

        Raises:
            ValueError: another machine's address: this is no tool to load those.
        """
        parts = urlsplit(address)
        host = parts.hostname or ""
        local = host == "localhost"
        if not local:
            try:
                local = ip_address(host).is_loopback
            except ValueError:
                local = False
        if parts.scheme != "http" or not local:
            raise ValueError(f"{address}: only a service on this machine, http://127.0.0.1:PORT")
        return Target(host, parts.port or 80, picture)


async def send(target: Target, planned: float) -> Sample:
    """One request on a connection of its own; ``planned`` is its start by `time.perf_counter`."""
    try:
        status = await asyncio.wait_for(_exchange(target), _TIMEOUT_S)
    except (OSError, ValueError, IndexError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        status = 0
    return Sample(time.perf_counter() - planned, status)


async def _exchange(target: Target) -> int:
    """The status of an answer that came whole."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        head = (
            f"POST /v1/deblur HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(target.picture)}\r\n"
        )
        writer.write(head.encode() + b"\r\n" + target.picture)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in answer[1:] if ": " in line)
        await reader.readexactly(int(fields["content-length"]))
        return int(answer[0].split()[1])
    except KeyError as error:
        raise ValueError("an answer without a length") from error
    finally:
        writer.close()


async def at_times(target: Target, starts_s: Sequence[float]) -> list[Sample]:
    """Open loop: a request at each time, however many are still unanswered.

    Args:
        target: The service.
        starts_s: Seconds from now, ascending. A late start counts into the request's time.

    Raises:
        ValueError: too many requests.
    """
    if len(starts_s) > _MOST_REQUESTS:
        raise ValueError(f"{len(starts_s)} requests; at most {_MOST_REQUESTS}: lower the seconds")
    begin = time.perf_counter()
    pending: list[asyncio.Task[Sample]] = []
    for start_s in starts_s:
        await asyncio.sleep(max(0.0, begin + start_s - time.perf_counter()))
        pending.append(asyncio.create_task(send(target, begin + start_s)))
    return [await task for task in pending]


async def as_fast_as_answered(target: Target, clients: int, seconds: float) -> list[Sample]:
    """Closed loop: each client sends the next picture once it has the answer to the last."""
    ends = time.perf_counter() + seconds
    samples: list[Sample] = []

    async def client() -> None:
        while time.perf_counter() < ends and len(samples) < _MOST_REQUESTS:
            samples.append(await send(target, time.perf_counter()))

    await asyncio.gather(*(client() for _ in range(clients)))
    return samples
