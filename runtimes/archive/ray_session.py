"""Starts a local Ray, or joins a cluster, without a word on standard output."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator
from types import ModuleType
from typing import Any

from ..command_line.console import one_line
from ..optional import require

LOCAL = "local"  # `--ray` without an address
_STARTS = 3  # of a local Ray, before giving up
_ANSWER_S = 10.0  # in which a cluster's head must take a connection
_ADDRESS = re.compile(r"auto|[A-Za-z0-9.\-\[\]:]+:\d{1,5}")
# No word to a server about who uses Ray; no remark on how GPUs will be hidden some day.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
# A local Ray's workers get their share of the machine, as a plain `deblur-run` does: Ray's default
# is the lowest but four. Its core writes warnings about Ray Data's own actors to standard error.
_LOCAL = {"RAY_worker_niceness": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


def check_address(text: str) -> str:
    """An address as `ray_session` takes it.

    Raises:
        ValueError: not ``auto`` or HOST:PORT.
    """
    if text == LOCAL or _ADDRESS.fullmatch(text):
        return text
    raise ValueError(
        f"{text!r} is no address of a Ray cluster, which is 'auto' or HOST:PORT; without an "
        "address put --ray last, or write --ray=local"
    )


@contextlib.contextmanager
def ray_session(address: str, *, cpus: int) -> Generator[ModuleType]:
    """Yield Ray, connected; a local one is ended with the block.

    What is printed inside the block goes to standard error, so that ``--json`` stays clean. A Ray
    that runs in this process already is used as it is.

    Args:
        address: ``local``, ``auto`` (the cluster that this machine belongs to) or HOST:PORT.
        cpus: Cores of a local Ray.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConnectionError: no cluster answers at the address.
    """
    for name, value in {**_QUIET, **(_LOCAL if address == LOCAL else {})}.items():
        os.environ.setdefault(name, value)
    ray: Any = require("ray", extra="ray")
    with contextlib.redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        # Sockets lie inside, whose names are short by law: about 100 bytes.
        folder = tempfile.mkdtemp(prefix="edb-", dir="/tmp") if address == LOCAL else None
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if folder is not None:
            options |= {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": folder}
        try:
            connect_ray(ray, address, options)
            _quieten()
            yield ray
        finally:
            ray.shutdown()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def connect_ray(ray: Any, address: str, options: dict[str, Any]) -> None:  # noqa: ANN401 - Ray
    """``ray.init`` with these options; tried again where a busy machine starts Ray too slowly.

    Raises:
        ConnectionError: no cluster answers at the address or it refuses us, or a local one does not
            start.
    """
    listens = False
    try:
        listens = _check_reachable(address)
        for left in reversed(range(_STARTS)):
            try:
                ray.init(address=address, **options)
                return
            except Exception as error:
                # Ray gives its own processes half a minute, which a busy machine exceeds, and
                # raises nothing more specific then.
                if type(error) is not Exception or not left:
                    raise
                ray.shutdown()
    except (OSError, OverflowError) as error:  # ConnectionError, unknown host, no such port
        if listens:  # Ray sends its token to an address that was named only if told to
            raise ConnectionError(
                f"what listens at {address} takes no connection from here; if it is a Ray cluster "
                "that wants a token, put RAY_AUTH_MODE=token before this command"
            ) from error
        raise ConnectionError(
            f"no Ray cluster answers at {address}; start one with 'ray start --head', or leave the "
            "address out"
        ) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise ConnectionError(
            f"Ray did not start ({one_line(error)}); try again, on a less busy machine"
        ) from error


def _check_reachable(address: str) -> bool:
    """Raise OSError if nothing listens at HOST:PORT: Ray would try for minutes, with many words.

    Returns:
        Whether something does; False for ``local`` and ``auto``.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        return False
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    return True


def _quieten() -> None:
    """Ray Data's own progress bars and remarks."""
    data: Any = require("ray.data", extra="ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
