"""What comes from outside: checks of a request's query and head, and reading its body."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .settings import FORMAT_NAMES, MEDIA_TYPES, Ask, Limits, Refusal

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
# What a body may be declared as; curl's --data-binary alone says "form", which is refused with the
# fix. The bytes decide what it is.
_DECLARED = ("", "application/octet-stream", *MEDIA_TYPES.values())


class RefusedError(Exception):
    """Carries a `Refusal` out of a check."""

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(status, detail, retry_after_s)


class ClientLeftError(Exception):
    """The connection was closed before the body was whole."""


def ask_of(query: Mapping[str, str]) -> Ask:
    """What the query asks for.

    Raises:
        RefusedError: 422 for a parameter or a value that does not exist.
    """
    unknown = sorted(set(query) - {"format", "quality"})
    if unknown:
        raise RefusedError(422, "unknown parameter; known are format and quality")
    kind = query.get("format")
    if kind is not None and kind.lower() not in FORMAT_NAMES:
        raise RefusedError(422, f"format must be one of {', '.join(FORMAT_NAMES)}")
    quality = query.get("quality")
    if quality is not None and not (
        quality.isascii() and quality.isdigit() and len(quality) <= 3 and 1 <= int(quality) <= 100
    ):
        raise RefusedError(422, "quality must be a whole number from 1 to 100")
    return Ask(
        None if kind is None else FORMAT_NAMES[kind.lower()],
        None if quality is None else int(quality),
    )


def check_head(headers: Mapping[str, str], limits: Limits) -> None:
    """Refuse by the head alone what needs no body to be refused.

    Raises:
        RefusedError: 415 for another type or a compressed body, 413 for a body too long, 400 for
            a length that is no number.
    """
    declared = headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared not in _DECLARED:
        raise RefusedError(
            415, "Content-Type must be image/jpeg, image/png, image/webp or "
            "application/octet-stream, and the body the picture itself",
        )  # fmt: skip
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise RefusedError(415, "Content-Encoding is not supported; pictures are compressed")
    length = headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise RefusedError(400, "Content-Length is not a number")
    if len(length) > 18 or int(length) > limits.body_bytes:
        raise RefusedError(413, _too_long(limits))


async def read_body(receive: Receive, limits: Limits) -> bytes:
    """The whole body of a request.

    Raises:
        RefusedError: 413 for one too long, 408 for one too slow, 400 for an empty one.
        ClientLeftError: the client closed the connection.
    """
    parts: list[bytes] = []
    size = 0
    latest = time.monotonic() + limits.body_s
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, latest - time.monotonic()))
        except asyncio.TimeoutError as error:
            raise RefusedError(
                408, f"the body did not arrive within {limits.body_s:g} seconds"
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limits.body_bytes:
            raise RefusedError(413, _too_long(limits))
        parts.append(part)
        more = bool(message.get("more_body", False))
    if not size:
        raise RefusedError(400, "the body is empty; send a JPEG, PNG or WebP picture")
    return b"".join(parts)


def _too_long(limits: Limits) -> str:
    return f"the body has more than {limits.body_bytes / (1 << 20):g} MiB"
