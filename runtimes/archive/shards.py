"""Pictures inside shards: Parquet files, and WebDataset's tar files.

A shard is read as a stream, one picture at a time, so that memory does not grow with its size, and
one that is damaged half-way yields the pictures before the damage and then a failure. Ray's own
readers would end the run there, and hold 512 pictures at once.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from ..command_line.console import one_line
from ..optional import require
from ..pictures.read import READABLE
from .plan import output_name, safe_name

MOST_BYTES = 1 << 30  # of one encoded picture; a larger one is no photograph
_ROWS = 8  # of a Parquet file at once


@dataclass(frozen=True)
class Columns:
    """Columns of a Parquet file: the pictures' bytes, or a struct with ``bytes`` (and ``path``).

    ``name`` None: the struct's ``path``, else the number of the row.
    """

    picture: str = "image"
    name: str | None = None


@dataclass(frozen=True)
class Member:
    """A picture of a shard, or why there is none. ``finished``: its output is there already."""

    name: str
    output: str = ""
    data: bytes | None = None
    reason: str | None = None
    finished: bool = False


def read_shard(
    stream: IO[bytes],
    address: str,
    folder: str,
    *,
    columns: Columns,
    suffix: str | None,
    finished: Callable[[str], bool],
) -> Iterator[Member]:
    """Yield the pictures of one shard, in its order. Raises nothing that the data may cause.

    Args:
        stream: The shard, opened; seekable for Parquet.
        address: Its address, for messages.
        folder: Its folder of outputs, relative to the output folder.
        columns: Of a Parquet file.
        suffix: Ending of the outputs, with its dot; None: each picture's own.
        finished: Whether an output, by its relative name, is there already.
    """
    is_tar = PurePosixPath(address).suffix.lower() == ".tar"
    taken: set[str] = set()
    read = 0
    try:
        for name, data in _in_tar(stream) if is_tar else _in_parquet(stream, columns):
            read += 1
            yield _member(f"{address}!{name}", name, data, folder, suffix, finished, taken)
    # Whatever tarfile, pyarrow and the store raise on damaged data.
    except Exception as error:  # noqa: BLE001
        yield Member(
            address,
            reason=f"{address}: cannot be read on after {read} pictures ({one_line(error)})",
        )


def _member(
    label: str,
    name: str,
    data: Callable[[], bytes],
    folder: str,
    suffix: str | None,
    finished: Callable[[str], bool],
    taken: set[str],
) -> Member:
    try:
        inner = safe_name(name)
        known = PurePosixPath(inner).suffix.lower() in READABLE
        content = b"" if known else data()
        output = f"{folder}/{output_name(inner, suffix, content)}"
        if output in taken:
            raise ValueError(f"two pictures would be written to {output}")
        taken.add(output)
        if finished(output):
            return Member(label, output, finished=True)
        return Member(label, output, content or data())
    except ValueError as error:
        return Member(label, reason=f"{label}: {one_line(error)}")


def _in_tar(stream: IO[bytes]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names and contents of the pictures; other files of a sample (.json, .txt, .cls) are left."""
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for entry in archive:
            if entry.isfile() and PurePosixPath(entry.name).suffix.lower() in READABLE:
                yield entry.name, lambda entry=entry: _extract(archive, entry)


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    if entry.size > MOST_BYTES:
        raise ValueError(f"{entry.size >> 20} MiB are too large for a picture")
    opened = archive.extractfile(entry)
    assert opened is not None  # only folders and links have no content
    data = opened.read()
    if len(data) != entry.size:
        raise tarfile.ReadError("the file ends inside a picture")
    return data


def _in_parquet(stream: IO[bytes], columns: Columns) -> Iterator[tuple[str, Callable[[], bytes]]]:
    parquet: Any = require("pyarrow.parquet", extra="ray")
    with parquet.ParquetFile(stream) as file:
        names = list(file.schema_arrow.names)
        wanted = [columns.picture, *([columns.name] if columns.name else [])]
        for name in wanted:
            if name not in names:
                raise ValueError(
                    f"no column {name!r}, only {', '.join(names)}; choose with --column and "
                    "--name-column"
                )
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=wanted):
            for row in batch.to_pylist():
                name, data = _in_row(row, columns, number)
                yield name, data
                number += 1


def _in_row(
    row: Mapping[str, Any], columns: Columns, number: int
) -> tuple[str, Callable[[], bytes]]:
    value = row[columns.picture]
    name = row[columns.name] if columns.name else None
    if isinstance(value, dict):
        name = name or value.get("path")
        value = value.get("bytes")

    def data() -> bytes:
        if not isinstance(value, bytes) or not value:
            raise ValueError(f"column {columns.picture!r} of row {number} holds no bytes")
        return value

    return str(name) if name else f"{number:08d}", data
