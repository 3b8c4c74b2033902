"""The HTTP application: an ASGI callable over a `Backend`, whoever serves it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..optional import require
from .backend import Backend
from .incoming import ClientLeftError, RefusedError, ask_of, check_head, read_body
from .metrics import Metrics
from .openapi import openapi
from .public_manifest import public_manifest
from .settings import Answer, Ask, Refusal, Settings
from .unread import Application, CloseUnread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

CLIENT_LEFT = 499  # nobody sees it; metrics count it, as nginx names it
LONGEST_WAIT_S = 60
_PAGES = {"page.css": "text/css", "page.js": "text/javascript"}
# The page works without any other host, and nothing else may be put into it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Service:
    """The application's state: who is inside, and whether it is about to end.

    Attributes:
        draining: Set when the process was told to end: ``/readyz`` answers 503, connections are
            closed after their answers, and pictures that come are still deblurred.
        inside: Pictures accepted and not answered yet.
        uploads: Bodies that are arriving.
    """

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self.backend = backend
        self.settings = settings
        self.draining = False
        self.inside = 0
        self.uploads = 0
        self.metrics = Metrics(
            lambda: self.inside, lambda: self.uploads, lambda: self.backend.replicas
        )
        self._mean_s = 1.0  # of a picture's work, recent ones counting most

    async def deblur(self, request: Request) -> Response:
        """``POST /v1/deblur``."""
        try:
            ask = ask_of(request.query_params)
            check_head(request.headers, self.settings.limits)
            self._check_room()
            data = await self._read(request)
            self._check_room()  # it may have filled up meanwhile
            result = await self._answered(request, data, ask)
        except RefusedError as error:
            result = error.refusal
        except ClientLeftError:
            result = Refusal(CLIENT_LEFT, "the client left")
        self.metrics.count_request(200 if isinstance(result, Answer) else result.status)
        if isinstance(result, Refusal):
            return problem(result)
        return _response(result.body, result.media_type)

    async def _read(self, request: Request) -> bytes:
        self.uploads += 1
        try:
            return await read_body(request.receive, self.settings.limits)
        finally:
            self.uploads -= 1

    async def _answered(self, request: Request, data: bytes, ask: Ask) -> Answer | Refusal:
        """Ask the backend; stop when the time is over or the client leaves."""
        within_s = self.settings.limits.answer_s
        begin = time.monotonic()
        self.inside += 1
        work = asyncio.ensure_future(self.backend.deblur(data, ask, within_s))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({work, gone}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if gone.done():
                    raise ClientLeftError
                return Refusal(504, f"no answer within {within_s:g} seconds", self._wait_s())
            result = work.result()
        finally:
            self.inside -= 1
            for task in (work, gone):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        if isinstance(result, Answer):
            self._mean_s += 0.1 * (result.total_s - self._mean_s)
            self.metrics.count_answer(result, len(data), time.monotonic() - begin)
        return result

    def _check_room(self) -> None:
        limits = self.settings.limits
        if self.inside >= self.settings.capacity:
            raise RefusedError(429, "too many pictures are waiting", self._wait_s())
        if self.uploads >= limits.uploads:
            raise RefusedError(429, "too many pictures are arriving", self._wait_s())

    def _wait_s(self) -> int:
        """Whole seconds after which half of what is inside will have been answered."""
        half = self.inside / 2 / self.settings.most_replicas
        return max(1, min(LONGEST_WAIT_S, math.ceil(half * self._mean_s)))

    async def readyz(self, _request: Request) -> Response:
        """``GET /readyz``: whether a load balancer should send pictures here."""
        if self.draining:
            return problem(Refusal(503, "the service is ending", 1))
        if not await self.backend.ready():
            return problem(Refusal(503, "no replica is ready", 1))
        return _response(b"ready\n", "text/plain")

    async def model(self, _request: Request) -> Response:
        """``GET /v1/model``: the manifest, without folders of the machine it was made on."""
        return _json(public_manifest(await self.backend.manifest()))

    async def measured(self, _request: Request) -> Response:
        """``GET /metrics``."""
        await self.backend.ready()  # which counts the replicas
        return _response(self.metrics.text(), self.metrics.content_type)

    async def described(self, _request: Request) -> Response:
        """``GET /openapi.json``."""
        return _json(openapi(self.settings))


def create_app(service: Service) -> Application:
    """The ASGI application.

    Raises:
        MissingDependencyError: Starlette is not installed.
    """
    applications = require("starlette.applications", extra="serve")
    exceptions = require("starlette.exceptions", extra="serve")
    route = require("starlette.routing", extra="serve").Route
    inner = applications.Starlette(
        routes=[
            route("/v1/deblur", service.deblur, methods=["POST"]),
            route("/v1/model", service.model),
            route("/healthz", _healthz),
            route("/readyz", service.readyz),
            route("/metrics", service.measured),
            route("/openapi.json", service.described),
            route("/", _page),
            route("/docs", _page),
            *(route(f"/{name}", _asset(name)) for name in _PAGES),
        ],
        exception_handlers={exceptions.HTTPException: _http_error, Exception: _fault},
    )
    return CloseUnread(inner, lambda: service.draining)


def problem(refusal: Refusal) -> Response:
    """A refusal as RFC 9457 writes it."""
    title = "Client Closed Request" if refusal.status == CLIENT_LEFT else ""
    response = _json(
        {
            "type": "about:blank",
            "title": title or HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "detail": refusal.detail,
        },
        refusal.status,
        "application/problem+json",
    )
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


async def _gone(request: Request) -> None:
    """Return once the client has closed the connection; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _healthz(_request: Request) -> Response:
    """``GET /healthz``: the process answers; whether it is of use, ``/readyz`` says."""
    return _response(b"ok\n", "text/plain")


async def _page(_request: Request) -> Response:
    response = _response(_asset_bytes("index.html"), "text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _asset(name: str) -> Any:  # noqa: ANN401 - an endpoint, whose type is Starlette's
    async def endpoint(_request: Request) -> Response:
        return _response(_asset_bytes(name), _PAGES[name])

    return endpoint


def _asset_bytes(name: str) -> bytes:
    return (files("edgedeblur.runtimes.service") / "page" / name).read_bytes()


async def _http_error(_request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such path, no such method."""
    status = int(getattr(error, "status_code", 500))
    details = {404: "no such path", 405: "this path has no such method"}
    response = problem(Refusal(status, details.get(status, "the request is not valid")))
    for name, value in (getattr(error, "headers", None) or {}).items():
        response.headers[name] = value
    return response


async def _fault(_request: Request, _error: Exception) -> Response:
    """A fault of ours; Starlette raises it again, so that the server logs it."""
    return problem(Refusal(500, "the service failed; its log says why"))


def _json(body: object, status: int = 200, media_type: str = "application/json") -> Response:
    text = json.dumps(body, indent=2, allow_nan=False) + "\n"
    return _response(text.encode(), media_type, status)


def _response(body: bytes, media_type: str, status: int = 200) -> Response:
    made: Response = require("starlette.responses", extra="serve").Response(
        body, status, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}, media_type
    )
    return made
