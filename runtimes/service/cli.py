"""Command ``deblur-serve``: an HTTP service that deblurs pictures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import Generator
from typing import Any

from ..archive.arguments import add_ray_option
from ..archive.ray_session import LOCAL
from ..command_line.common_options import Group, add_common_options
from ..command_line.console import DONE, print_json, run_command
from ..command_line.picture_options import add_tiling_options, count, quality
from ..machine import usable_cores
from ..optional import require
from ..pictures.tiling import TilingOptions
from ..registry import check_artifact
from .backend import Backend
from .settings import Limits, Settings

_NEEDED = ("starlette", "uvicorn", "prometheus_client")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 ended by a signal, 1 failed, 2 wrong usage."""
    return run_command(build_parser(), work, argv, extra="serve")


def build_parser() -> argparse.ArgumentParser:
    """All arguments."""
    parser = argparse.ArgumentParser(
        prog="deblur-serve",
        description="Serve an exported artifact over HTTP: POST /v1/deblur with a JPEG, PNG or "
        "WebP picture as body answers the deblurred one. /docs is a page to try it, /metrics has "
        "counters for Prometheus. SIGTERM ends it once every accepted picture is answered.",
        epilog="It has no access control and no TLS: put it behind a server that has.",
    )
    add_common_options(parser)
    add = parser.add_argument
    add("artifact", help="what deblur-export wrote, for example model.onnx")
    add("--json", action="store_true", help="print address and settings as JSON")
    _add_address(parser.add_argument_group("address"))
    _add_replicas(parser.add_argument_group("replicas"))
    _add_limits(parser.add_argument_group("limits"))
    add_tiling_options(parser.add_argument_group("borders and tiles"))
    return parser


def _add_address(group: Group) -> None:
    add = group.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 for all of this machine's (default: %(default)s)",
    )
    add(
        "--port",
        type=count,
        default=8000,
        metavar="N",
        help="port; 0 takes a free one (default: %(default)s)",
    )
    add(
        "--drain-delay",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="seconds after SIGTERM in which pictures are still taken, so that load balancers "
        "notice /readyz (default: %(default)g)",
    )


def _add_replicas(group: Group) -> None:
    add = group.add_argument
    add(
        "--replicas",
        type=_positive,
        default=1,
        metavar="N",
        help="processes with the artifact open, run by Ray Serve (default: %(default)s)",
    )
    add(
        "--max-replicas",
        type=_positive,
        metavar="N",
        help="grow to so many under load (default: as --replicas)",
    )
    add(
        "--max-batch",
        type=_positive,
        default=2,
        metavar="N",
        help="pictures that a replica works on at once: one infers, the others decode and encode "
        "meanwhile (default: %(default)s)",
    )
    add(
        "--threads",
        type=count,
        default=0,
        metavar="N",
        help="CPU threads of a replica (default: this machine's cores over the replicas)",
    )
    add(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="as for deblur-run (default: %(default)s)",
    )
    where = group.add_mutually_exclusive_group()
    add_ray_option(
        where,
        "run the replicas on the Ray cluster at HOST:PORT or 'auto'; the artifact must lie at the "
        "same path there (default: start Ray here, and stop it at the end)",
    )
    where.add_argument(
        "--in-process",
        action="store_true",
        help="one replica inside this process, without Ray",
    )


def _add_limits(group: Group) -> None:
    add = group.add_argument
    limits = Limits()
    add(
        "--queue",
        type=_positive,
        default=limits.queue,
        metavar="N",
        help="pictures that may wait; more are refused with 429 (default: %(default)s)",
    )
    add(
        "--max-mib",
        type=_positive,
        default=limits.body_bytes >> 20,
        metavar="N",
        help="largest body in MiB; more is refused with 413 (default: %(default)s)",
    )
    add(
        "--max-megapixels",
        type=_positive,
        default=limits.pixels // 1_000_000,
        metavar="N",
        help="largest picture; more is refused with 413 (default: %(default)s)",
    )
    add(
        "--body-timeout",
        type=_seconds,
        default=limits.body_s,
        metavar="S",
        help="seconds for a body to arrive; then 408 (default: %(default)g)",
    )
    add(
        "--timeout",
        type=_seconds,
        default=limits.answer_s,
        metavar="S",
        help="seconds from there to the answer; then 504 (default: %(default)g)",
    )
    add(
        "--quality",
        type=quality,
        default=95,
        metavar="N",
        help="1 to 100, for JPEG and WebP, where ?quality= is absent (default: %(default)s)",
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The parsed command as `Settings`; a usage error ends the program."""
    most = arguments.max_replicas or arguments.replicas
    if most < arguments.replicas:
        build_parser().error("--max-replicas is less than --replicas")
    if arguments.in_process and most > 1:
        build_parser().error("--in-process is one replica; leave out --replicas")
    if arguments.port > 65535:
        build_parser().error(f"--port goes to 65535, not {arguments.port}")
    limits = dataclasses.replace(
        Limits(),
        body_bytes=arguments.max_mib << 20,
        pixels=arguments.max_megapixels * 1_000_000,
        body_s=arguments.body_timeout,
        answer_s=arguments.timeout,
        queue=arguments.queue,
    )
    return Settings(
        artifact=arguments.artifact,
        replicas=arguments.replicas,
        most_replicas=most,
        threads=arguments.threads or max(1, usable_cores() // most),
        device=arguments.device,
        at_once=arguments.max_batch,
        quality=arguments.quality,
        options=TilingOptions(arguments.protocol, arguments.tile, arguments.overlap),
        limits=limits,
    )


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    from .app import Service, create_app
    from .http_server import listen, serve_until_signal

    settings = settings_of(arguments)
    for module in (*_NEEDED, *(() if arguments.in_process else ("ray.serve",))):
        require(module, extra="serve")
    check_artifact(settings.artifact)  # a wrong name should not cost the seconds of starting
    with (
        contextlib.closing(listen(arguments.host, arguments.port)) as listening,
        _backend(settings, arguments) as backend,
    ):
        service = Service(backend, settings)
        host, port = listening.getsockname()[:2]
        _announce(f"http://{f'[{host}]' if ':' in host else host}:{port}", settings, arguments)
        serve_until_signal(
            create_app(service), service, listening, drain_delay_s=arguments.drain_delay
        )
    return DONE


@contextlib.contextmanager
def _backend(settings: Settings, arguments: argparse.Namespace) -> Generator[Backend]:
    if not arguments.in_process:
        from .replicas import running_replicas

        with running_replicas(settings, arguments.ray or LOCAL) as backend:
            yield backend
        return
    from .backend import Replica

    replica = Replica(settings)
    try:
        yield replica
    finally:
        asyncio.run(replica.close())


def _announce(address: str, settings: Settings, arguments: argparse.Namespace) -> None:
    """One line once pictures are taken, so that scripts can wait for it."""
    if arguments.json:
        body: dict[str, Any] = {"address": address, "settings": settings.to_dict()}
        print_json(body)
    else:
        replicas = f"{settings.replicas} replica{'s' if settings.replicas > 1 else ''}"
        if settings.most_replicas > settings.replicas:
            replicas += f", up to {settings.most_replicas}"
        sys.stdout.write(
            f"{settings.artifact} on {address}/docs ({replicas}, {settings.threads} threads each)\n"
        )
    sys.stdout.flush()


def _positive(text: str) -> int:
    number = count(text, "a whole number, 1 or more")
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return number


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
