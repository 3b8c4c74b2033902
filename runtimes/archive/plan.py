"""What an archive run reads and where each output goes. Opens no picture and needs no Ray."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..pictures.read import READABLE
from ..pictures.sources import find_sources
from ..pictures.write import WRITABLE
from .stores import Store, is_remote, join, local_path, store_for

SHARDS = (".parquet", ".tar")
_SIGNATURES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"BM", ".bmp"),
)


@dataclass(frozen=True)
class Item:
    """One input. ``output``: a picture's file or a shard's folder, below the output folder."""

    address: str
    output: str
    is_shard: bool = False


@dataclass(frozen=True)
class Failed:
    """One input that could not be processed: its address, and why, on one line."""

    name: str
    reason: str

    def __str__(self) -> str:
        """``address: reason``; most reasons name their input already."""
        return self.reason if self.name in self.reason else f"{self.name}: {self.reason}"


def plan_items(
    inputs: Sequence[str], output: str, *, recursive: bool, suffix: str | None
) -> tuple[list[Item], list[Failed]]:
    """Expand the inputs and name every output.

    Args:
        inputs: Local files, folders and patterns, or addresses of fsspec.
        output: The output folder.
        recursive: Read sub-folders too; outputs get the same ones.
        suffix: Ending of all outputs, with its dot; None keeps each picture's own.

    Returns:
        The items in the order of the inputs, and the inputs that were not found.

    Raises:
        ValueError: two inputs with one output, an output that is an input, or an ending that
            cannot be written.
    """
    items: dict[str, Item] = {}
    missing: list[Failed] = []
    for given in inputs:
        found, gone = (_remote if is_remote(given) else _local)(given, output, recursive)
        missing += gone
        for address, relative in found:
            is_shard = PurePosixPath(relative).suffix.lower() in SHARDS
            named = shard_folder(relative) if is_shard else output_name(relative, suffix)
            items.setdefault(address, Item(address, named, is_shard))
    _check_clashes(list(items.values()), output)
    return list(items.values()), missing


def output_name(relative: str, suffix: str | None, data: bytes = b"") -> str:
    """The output's name: the input's, with another ending if one is asked for.

    ``data`` is the picture where it is at hand, as in a shard: an input without a picture's ending
    gets that of its content.

    Raises:
        ValueError: no ending, or one that cannot be written.
    """
    path = PurePosixPath(relative)
    if suffix is not None:
        known = path.suffix.lower() in READABLE
        return str(path.with_suffix(suffix) if known else path.with_name(path.name + suffix))
    if path.suffix.lower() in WRITABLE:
        return str(path)
    if data:
        return str(path.with_name(path.name + _ending_of(data, relative)))
    raise ValueError(
        f"{relative}: cannot write {path.suffix or 'no ending'!r} files; choose one with --format"
    )


def shard_folder(relative: str) -> str:
    """The folder of a shard's outputs, relative to the output folder."""
    return str(PurePosixPath(relative).with_suffix(""))


def safe_name(name: str) -> str:
    """The name of a picture inside a shard, if it stays inside the output folder.

    Raises:
        ValueError: an absolute name, one with ``..``, or none at all.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0] == "/" or re.match(r"[A-Za-z]:", parts[0]):
        raise ValueError(f"the name {name!r} leads out of the output folder")
    return "/".join(parts)


def unfinished(
    items: Sequence[Item], there: dict[str, float], since_s: float
) -> tuple[list[Item], int]:
    """Leave out the pictures whose outputs are there and were written since ``since_s``.

    Shards stay: what is finished inside is known only to who reads them.

    Returns:
        What remains, and how many were left out.
    """
    left = [item for item in items if item.is_shard or not _is_finished(item, there, since_s)]
    return left, len(items) - len(left)


def _is_finished(item: Item, there: dict[str, float], since_s: float) -> bool:
    written_s = there.get(item.output)
    return written_s is not None and written_s >= since_s


def rows_per_task(rows: int, workers: int) -> int:
    """Pictures that a worker gets at once: few enough that all end together, many for low cost."""
    return max(1, min(16, rows // (workers * 8)))


def _local(given: str, output: str, recursive: bool) -> tuple[list[tuple[str, str]], list[Failed]]:
    # An output in a store far away is in no local folder.
    within = str(local_path(output)) if not is_remote(output) else os.devnull
    sources, missing = find_sources(
        [str(local_path(given))],
        recursive=recursive,
        output=within,
        endings=(*READABLE, *SHARDS),
    )
    # Workers may run in another folder.
    found = [
        (str(Path(os.path.abspath(s.path))), s.relative.as_posix())  # noqa: PTH100 - keeps links
        for s in sources
    ]
    return found, [Failed(str(f.source), f.reason) for f in missing]


def _remote(
    given: str, output: str, recursive: bool, store: Callable[[str], Store] = store_for
) -> tuple[list[tuple[str, str]], list[Failed]]:
    try:
        names = store(given).matching(given, recursive=recursive)
    except FileNotFoundError as error:
        return [], [Failed(given, str(error))]
    folder = given.rstrip("/") + "/"
    results = output.rstrip("/") + "/"
    found: list[tuple[str, str]] = []
    for name in names:
        inside_results = name.startswith(results) and not folder.startswith(results)
        if name != given and inside_results:
            continue
        if name == given or PurePosixPath(name).suffix.lower() in (*READABLE, *SHARDS):
            below = name.startswith(folder)
            found.append((name, name[len(folder) :] if below else name.rpartition("/")[2]))
    if not found:
        known = "/".join((*READABLE, *SHARDS))
        hint = "" if recursive else " (sub-folders are read with --recursive)"
        return [], [Failed(given, f"{given}: no {known} there{hint}")]
    return found, []


def _check_clashes(items: Iterable[Item], output: str) -> None:
    """ValueError if an output would replace another output, or an input."""
    root = output.rstrip("/") if is_remote(output) else os.path.realpath(local_path(output))
    inputs = {_real(item.address): item for item in items}
    writers: dict[str, Item] = {}
    for item in items:
        target = join(root, item.output)
        other = writers.setdefault(target, item)
        if other is not item:
            raise ValueError(
                f"{other.address} and {item.address} would both be written to "
                f"{join(output, item.output)}; run them into different folders"
            )
        if not item.is_shard and target in inputs:
            raise ValueError(
                f"the output of {item.address} would replace the input "
                f"{inputs[target].address}; choose another -o"
            )


def _real(address: str) -> str:
    return address if is_remote(address) else os.path.realpath(address)


def _ending_of(data: bytes, name: str) -> str:
    for signature, ending in _SIGNATURES:
        if data.startswith(signature):
            return ending
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    raise ValueError(f"{name}: not a {', '.join(READABLE)} picture; or choose one with --format")
