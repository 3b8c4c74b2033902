"""Files by address: local paths, and what fsspec reaches (``s3://``, ``gs://``, ``memory://``...).

Writes are atomic: a local file is renamed into place, and an object store shows an object only once
it is whole. Addresses are strings, because a `Path` would fold the two slashes of ``s3://``.
"""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar, cast

from ..command_line.console import one_line
from ..files import PARTIAL_PREFIX, replacing
from ..optional import MissingDependencyError, install_command, require
from ..pictures.read import read_bytes

T = TypeVar("T")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Another try cannot help: nothing is there, or it may not be read.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class Store(Protocol):
    """Where files are. Every method raises OSError, with the address in its text."""

    def read(self, address: str) -> bytes:
        """The whole file."""
        ...

    def open(self, address: str) -> IO[bytes]:
        """The file as a seekable stream."""
        ...

    def write(self, address: str, data: bytes) -> None:
        """Write the file whole, or not at all; replaces an older one."""
        ...

    def remove(self, address: str) -> None:
        """Remove the file if it is there."""
        ...

    def listing(self, folder: str) -> dict[str, float]:
        """Names below ``folder``, relative to it with ``/``, and when each was last written.

        Seconds by the clock of the store itself; empty if there is no such folder.
        """
        ...

    def modified_s(self, address: str) -> float:
        """When the file was last written, by the store's own clock."""
        ...

    def matching(self, address: str, *, recursive: bool) -> list[str]:
        """The files that a pattern matches, or below a folder; the address itself if a file."""
        ...


def is_remote(address: str) -> bool:
    """Whether an address has a scheme, such as ``s3://``, that is not ``file://``."""
    return bool(_SCHEME.match(address)) and not address.startswith("file://")


def local_path(address: str) -> Path:
    """The path of a local address, with or without ``file://``."""
    return Path(address.removeprefix("file://"))


def store_for(address: str) -> Store:
    """The store that an address is in.

    Raises:
        MissingDependencyError: fsspec, or its package for the scheme, is not installed.
        ValueError: no such scheme.
    """
    return FsspecStore(address) if is_remote(address) else LocalStore()


def join(folder: str, relative: str) -> str:
    """The address of a name below a folder."""
    return f"{folder.rstrip('/')}/{relative}"


def retrying(
    action: Callable[[], T], retries: int, sleep: Callable[[float], None] = time.sleep
) -> tuple[T, int]:
    """Call ``action`` until it succeeds, at most ``retries`` times more than once.

    Only OSErrors that another try may mend are tried again, after 0.5, 1, 2... seconds.

    Returns:
        What it returned, and how many tries failed before.

    Raises:
        OSError: of the last try.
    """
    failed = 0
    while True:
        try:
            return action(), failed
        except OSError as error:
            if failed >= retries or isinstance(error, _LASTING):
                raise
            sleep(min(FIRST_WAIT_S * 2**failed, LONGEST_WAIT_S))
            failed += 1


class LocalStore:
    """The local file system, or one that is mounted."""

    def read(self, address: str) -> bytes:
        """See `Store`."""
        return read_bytes(local_path(address))

    def open(self, address: str) -> IO[bytes]:
        """See `Store`."""
        return local_path(address).open("rb")

    def write(self, address: str, data: bytes) -> None:
        """See `Store`."""
        with replacing(local_path(address)) as temporary:
            temporary.write_bytes(data)

    def remove(self, address: str) -> None:
        """See `Store`."""
        local_path(address).unlink(missing_ok=True)

    def listing(self, folder: str) -> dict[str, float]:
        """See `Store`; temporary files of writes that were killed are left out."""
        root = str(local_path(folder))
        found: dict[str, float] = {}
        for inside, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(PARTIAL_PREFIX)]
            for name in names:
                path = Path(inside) / name
                found[path.relative_to(root).as_posix()] = path.stat().st_mtime
        return found

    def modified_s(self, address: str) -> float:
        """See `Store`."""
        return local_path(address).stat().st_mtime

    def matching(self, address: str, *, recursive: bool) -> list[str]:
        """Local inputs are found by `pictures.sources.find_sources`."""
        raise NotImplementedError


class FsspecStore:
    """One file system of fsspec. Its own errors become OSErrors that name the address."""

    def __init__(self, address: str) -> None:
        fsspec = require("fsspec", extra="ray")
        scheme = address.partition("://")[0]
        try:
            self._fs: Any = fsspec.filesystem(scheme)
        except ImportError as error:
            raise MissingDependencyError(
                f"{scheme}:// needs a package of its own ({one_line(error)}). {_remedy(scheme)}"
            ) from error
        self._prefix = f"{scheme}://"

    def read(self, address: str) -> bytes:
        """See `Store`."""
        return self._call(address, lambda: bytes(self._fs.cat_file(address)))

    def open(self, address: str) -> IO[bytes]:
        """See `Store`; reads ahead in large blocks, since a shard is read from start to end."""
        opened = self._call(address, lambda: self._fs.open(address, "rb", block_size=8 << 20))
        return cast("IO[bytes]", opened)

    def write(self, address: str, data: bytes) -> None:
        """See `Store`."""
        self._call(address, lambda: self._fs.pipe_file(address, data))

    def remove(self, address: str) -> None:
        """See `Store`."""
        if self._call(address, lambda: self._fs.exists(address)):
            self._call(address, lambda: self._fs.rm_file(address))

    def listing(self, folder: str) -> dict[str, float]:
        """See `Store`."""
        self._fs.invalidate_cache()  # another process wrote meanwhile
        root = str(self._fs._strip_protocol(folder.rstrip("/")))
        try:
            found = self._call(folder, lambda: self._fs.find(folder.rstrip("/"), detail=True))
        except FileNotFoundError:
            return {}
        return {
            name[len(root) :].lstrip("/"): self._time_of(name, info)
            for name, info in found.items()
            if name != root
        }

    def modified_s(self, address: str) -> float:
        """See `Store`."""
        self._fs.invalidate_cache()
        return self._time_of(address, self._call(address, lambda: self._fs.info(address)))

    def matching(self, address: str, *, recursive: bool) -> list[str]:
        """See `Store`."""
        if any(sign in address for sign in "*?["):
            found = self._call(address, lambda: self._fs.glob(address))
        elif self._call(address, lambda: self._fs.isfile(address)):
            return [address]
        else:
            depth = None if recursive else 1
            found = self._call(address, lambda: self._fs.find(address.rstrip("/"), maxdepth=depth))
        return [n if "://" in n else self._prefix + n.lstrip("/") for n in sorted(found)]

    def _time_of(self, name: str, info: dict[str, Any]) -> float:
        for key in ("LastModified", "mtime", "updated", "modified", "last_modified", "created"):
            if info.get(key) is not None:
                return seconds_of(info[key])
        return seconds_of(self._call(name, lambda: self._fs.modified(name)))

    def _call(self, address: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{address}: no such file") from error
        except PermissionError as error:
            raise PermissionError(
                f"{address}: access was refused ({one_line(error)}); check the credentials"
            ) from error
        # Every file system brings a client library with errors of its own.
        except Exception as error:
            raise OSError(
                f"{address}: {one_line(error)} ({type(error).__name__}); check the address, the "
                "credentials and the network"
            ) from error


def seconds_of(moment: object) -> float:
    """Seconds since 1970 of what file systems call a time: a number, a datetime, ISO text.

    Raises:
        TypeError: none of these.
    """
    if isinstance(moment, (int, float)):
        return float(moment)
    if isinstance(moment, str):
        moment = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if isinstance(moment, datetime.datetime):
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        return moment.timestamp()
    raise TypeError(f"not a time: {moment!r}")


def _remedy(scheme: str) -> str:
    package = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}.get(scheme)
    command = f"pip install {package}" if package else install_command("ray")
    return f"Install it with: {command}"
