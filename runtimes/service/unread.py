"""Answers given before a request was read whole: they reach the client, and the rest is dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from .incoming import Receive

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
CLOSE = (b"connection", b"close")
LINGER_S = 2.0


class CloseUnread:
    """An ASGI application around another, for refusals that do not wait for the body.

    A server that answers and closes while bytes are still coming resets the connection, and the
    client may never see the answer. So the answer is sent, marked as the connection's last, and
    the body is read and dropped, for `LINGER_S` seconds at most.
    """

    def __init__(self, inner: Application, draining: Callable[[], bool]) -> None:
        """While ``draining``, every answer is its connection's last."""
        self._inner = inner
        self._draining = draining

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body = _Body(scope, receive)

        async def send_all(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if body.is_unread or self._draining():
                    message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
                await send(message)
                return
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or not body.is_unread:
                await send(message)
                return
            await send({**message, "more_body": True})
            await body.drop()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._inner(scope, body.receive, send_all)


class _Body:
    """A request's body on its way in: whether all of it has been read."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0").strip()
        self.is_unread = b"transfer-encoding" in headers or length not in (b"0", b"")
        self._receive = receive

    async def receive(self) -> Mapping[str, Any]:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.is_unread = False
        return message

    async def drop(self) -> None:
        """Read the rest and keep nothing of it."""
        latest = time.monotonic() + LINGER_S
        while self.is_unread:
            left_s = latest - time.monotonic()
            try:
                await asyncio.wait_for(self.receive(), max(0.0, left_s))
            except asyncio.TimeoutError:
                return
