"""Ray Serve: replicas of an open artifact, and the application that a Ray cluster deploys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Generator
from typing import Any

from ..command_line.console import one_line
from ..optional import require
from ..sdk_errors import suppress_output
from .backend import Backend, Replica
from .settings import Answer, Ask, Refusal, Settings

NAME = "deblur"  # of the Serve application
_REPLICA = "Replica"  # of their deployment
_TRIES = 3
_READY_AGE_S = 1.0  # how old the answer to "is a replica running?" may be

# Ray reports its use to its makers unless told not to.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# Workers of a Ray of our own run as `deblur-run` does: Ray's default is almost the lowest priority.
_LOCAL = {"RAY_worker_niceness": "0"}


class RayBackend:
    """Asks replicas through a Ray Serve handle; a picture whose replica died goes to another."""

    def __init__(self, handle: Any, name: str = NAME) -> None:  # noqa: ANN401 - a DeploymentHandle
        """``name`` is that of the Serve application which the replicas belong to."""
        self._handle = handle
        self._name = name
        self._checked_at = -1e9
        self.replicas = 0

    async def deblur(self, data: bytes, ask: Ask, within_s: float) -> Answer | Refusal:
        """See `Backend`."""
        died = require("ray.exceptions", extra="serve").RayActorError
        loop = asyncio.get_running_loop()
        latest = loop.time() + within_s
        for _ in range(_TRIES):
            call = self._handle.deblur.remote(data, ask, latest - loop.time())
            try:
                return await call
            except asyncio.CancelledError:
                call.cancel()
                raise
            except died:
                continue
        return Refusal(503, "a replica failed; try again", 1)

    async def ready(self) -> bool:
        """See `Backend`."""
        now = asyncio.get_running_loop().time()
        if now - self._checked_at > _READY_AGE_S:
            self._checked_at = now
            self.replicas = await asyncio.to_thread(_running, self._name)
        return self.replicas > 0

    async def manifest(self) -> dict[str, Any]:
        """See `Backend`."""
        return await self._handle.manifest.remote()

    async def close(self) -> None:
        """See `Backend`; the replicas belong to whoever deployed them."""


def replicas_of(settings: Settings) -> Any:  # noqa: ANN401 - Ray Serve's application class
    """The deployment of `Replica`: ``settings.replicas`` processes, more of them under load."""
    serve = require("ray.serve", extra="serve")
    deployment = serve.deployment(Replica)
    scaling: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.most_replicas > settings.replicas:
        scaling = {
            "autoscaling_config": {
                "min_replicas": settings.replicas,
                "max_replicas": settings.most_replicas,
                "target_ongoing_requests": settings.at_once,
                "upscale_delay_s": 2.0,
                "downscale_delay_s": 60.0,
            }
        }
    return deployment.options(
        name=_REPLICA,
        **scaling,
        max_ongoing_requests=settings.at_once,
        # Waiting is bounded in front of the handle, where a refusal can be a 429.
        max_queued_requests=-1,
        graceful_shutdown_timeout_s=settings.limits.answer_s,
        ray_actor_options={
            "num_cpus": settings.threads,
            "num_gpus": 1 if settings.device == "cuda" else 0,
        },
    ).bind(settings)


def application(arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - Ray Serve's application class
    """The application for ``serve deploy`` and KubeRay: HTTP through Ray's own proxies.

    ``import_path: edgedeblur.runtimes.service.replicas:application`` in a Serve config, with
    `Settings.to_dict`'s keys as ``args``; those left out have their defaults.

    Raises:
        ValueError: a key that does not exist, or no ``artifact``.
    """
    serve = require("ray.serve", extra="serve")
    settings = Settings.from_dict(arguments)
    front = serve.deployment(serve.ingress(None)(_front_class())).options(
        name="Front",
        num_replicas=1,  # one queue, so that its bound is one number
        # Refusals must reach the application, or Ray would make them wait before it.
        max_ongoing_requests=settings.capacity + settings.limits.uploads + 1000,
        graceful_shutdown_timeout_s=settings.limits.answer_s,
        ray_actor_options={"num_cpus": 0},
    )
    return front.bind(replicas_of(settings), settings)


def _front_class() -> type:
    """The class that holds the HTTP application inside Ray."""

    class Front:
        """Builds the application that ``deblur-serve`` serves, over a handle."""

        def __init__(self, handle: Any, settings: Settings) -> None:  # noqa: ANN401
            self._handle = handle
            self._settings = settings

        def __serve_build_asgi_app__(self) -> Any:  # noqa: ANN401 - Ray's own name
            from .app import Service, create_app

            name = require("ray.serve", extra="serve").get_replica_context().app_name
            return create_app(Service(RayBackend(self._handle, name), self._settings))

    return Front


@contextlib.contextmanager
def running_replicas(settings: Settings, address: str | None) -> Generator[Backend]:
    """Deploy the replicas and stop them at the end; without an address, on a Ray of their own.

    Raises:
        ValueError: they do not start; the text is the first replica's reason.
        ConnectionError: no Ray cluster at ``address``.
        MissingDependencyError: Ray Serve is not installed.
    """
    for name, value in {**_QUIET, **({} if address else _LOCAL)}.items():
        os.environ.setdefault(name, value)  # before the import, which reads them
    ray = require("ray", extra="serve")
    serve = require("ray.serve", extra="serve")
    cores = {} if address else {"num_cpus": settings.most_replicas * settings.threads}
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
            **cores,
        )
    except Exception as error:  # it raises bare ones, for a slow machine too
        ray.shutdown()
        raise ConnectionError(f"Ray did not start ({one_line(error)}); try again") from error
    try:
        with suppress_output():  # Ray Serve tells its steps
            serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
            handle = _run(settings)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        yield RayBackend(handle)
    finally:
        with suppress_output(), contextlib.suppress(Exception):
            serve.delete(NAME)
            if not address:
                serve.shutdown()
        ray.shutdown()


def _run(settings: Settings) -> Any:  # noqa: ANN401 - a DeploymentHandle
    """Deploy, and wait until all replicas have the artifact open."""
    serve = require("ray.serve", extra="serve")
    try:
        return serve.run(replicas_of(settings), name=NAME, route_prefix=None)
    except RuntimeError as error:
        raise ValueError(f"the replicas did not start ({_reason()})") from error


def _running(name: str) -> int:
    """How many replicas have the artifact open; 0 while the application is not up."""
    application = _status(name)
    if application is None or application.status not in ("RUNNING", "DEPLOYING"):
        return 0
    states = application.deployments[_REPLICA].replica_states
    return int(states.get("RUNNING", 0))


def _status(name: str) -> Any:  # noqa: ANN401 - Ray Serve's status class
    serve = require("ray.serve", extra="serve")
    return serve.status().applications.get(name)


def _reason() -> str:
    """Why replicas do not start: the last line of what Ray reports."""
    application = _status(NAME)
    if application is None:
        return "no reason was given"
    texts = [d.message for d in application.deployments.values() if d.message]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else str(application.message) or "no reason was given"
