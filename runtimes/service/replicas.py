"""Ray Serve: replicas of an open artifact, and the application that a Ray cluster deploys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Generator
from typing import Any

from ..archive.ray_session import LOCAL, connect_ray
from ..optional import require
from ..sdk_errors import suppress_output
from .backend import Backend, Replica
from .settings import Answer, Ask, Refusal, Settings

NAME = "deblur"  # of the Serve application; on a cluster that others use too, its beginning
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
def running_replicas(settings: Settings, address: str) -> Generator[Backend]:
    """Deploy the replicas and stop them at the end, with Ray itself where it is ``local``.

    Raises:
        ValueError: they do not start; the text is the first replica's reason.
        ConnectionError: no Ray cluster at ``address``, or a local one does not start.
        MissingDependencyError: Ray Serve is not installed.
    """
    local = address == LOCAL
    for key, value in {**_QUIET, **(_LOCAL if local else {})}.items():
        os.environ.setdefault(key, value)  # before the import, which reads them
    ray = require("ray", extra="serve")
    serve = require("ray.serve", extra="serve")
    # Deploying under a name that is taken replaces what runs there: another service's replicas.
    name = NAME if local else f"{NAME}-{secrets.token_hex(4)}"
    cores = settings.most_replicas * settings.threads
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if local:
        options |= {"num_cpus": cores, "include_dashboard": False}
    try:
        connect_ray(ray, address, options)
        if not local:
            _tell_missing_cores(ray, settings)
        with suppress_output():  # Ray Serve tells its steps
            serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
            handle = _run(settings, name)
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        yield RayBackend(handle, name)
    finally:
        if ray.is_initialized():
            with suppress_output(), contextlib.suppress(Exception):
                serve.delete(name)
                if local:
                    serve.shutdown()
        ray.shutdown()


def _tell_missing_cores(ray: Any, settings: Settings) -> None:  # noqa: ANN401 - Ray
    """One line where the wait for the replicas may be long: until the cluster has grown."""
    there = int(ray.cluster_resources().get("CPU", 0))
    if (wanted := settings.replicas * settings.threads) > there:
        sys.stderr.write(f"the cluster has {there} cores; waiting until it has {wanted}\n")


def _run(settings: Settings, name: str) -> Any:  # noqa: ANN401 - a DeploymentHandle
    """Deploy, and wait until all replicas have the artifact open."""
    serve = require("ray.serve", extra="serve")
    try:
        return serve.run(replicas_of(settings), name=name, route_prefix=None)
    except RuntimeError as error:
        raise ValueError(f"the replicas did not start ({_reason(name)})") from error


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


def _reason(name: str) -> str:
    """Why replicas do not start: the last line of what Ray reports."""
    application = _status(name)
    if application is None:
        return "no reason was given"
    texts = [d.message for d in application.deployments.values() if d.message]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else str(application.message) or "no reason was given"
