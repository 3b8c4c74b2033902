"""Downloads published files of which no hash is known: the first one is recorded.

Their size must be that of such a file, what they hold is checked when it is loaded, and the hash of
what arrived is printed and kept beside the file, so that a later change is noticed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

from .download import Progress, looks_like_web_page

_BLOCK = 1 << 16
_TIMEOUT_S = 30.0
_SUFFIX = ".sha384"


@dataclass(frozen=True)
class UnpinnedFile:
    """A published file without a published hash; its size in bytes lies between two limits."""

    name: str
    addresses: tuple[str, ...]
    least_bytes: int
    most_bytes: int


def download_recorded(
    file: UnpinnedFile, target: Path, *, progress: Progress | None = None
) -> None:
    """Download the file to ``target``, unless it exists already and is what was recorded.

    Raises:
        ValueError: ``target`` exists and is not what was recorded.
        OSError: no address returned such a file; the message has each one's error.
    """
    record = target.with_name(target.name + _SUFFIX)
    if target.exists():
        if record.exists() and record.read_text(encoding="utf-8").split()[0] != _digest(target):
            raise ValueError(f"{target}: changed since it was downloaded; delete it")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    answers = _fetch_first(file.addresses, file, part, progress)
    if not part.exists():
        raise OSError(f"cannot download {file.name}: {'; '.join(answers)}")
    digest, size = _digest(part), part.stat().st_size
    record.write_text(f"{digest}  {file.name}\n", encoding="utf-8")
    os.replace(part, target)  # noqa: PTH105 - atomic on every platform
    sys.stderr.write(
        f"edgedeblur: {file.name}: {size} bytes, SHA-384 {digest}; its publisher names no hash to "
        f"compare with, so this one is recorded in {record}\n"
    )


def _fetch_first(
    addresses: Sequence[str], file: UnpinnedFile, part: Path, progress: Progress | None
) -> list[str]:
    """Fetch from the first address that has the file; what went wrong at the ones before."""
    answers: list[str] = []
    for address in addresses:
        try:
            _fetch(address, file, part, progress)
        except (OSError, HTTPException, ValueError) as error:
            part.unlink(missing_ok=True)
            answers.append(f"{address}: {getattr(error, 'reason', None) or error}")
        else:
            break
    return answers


def _fetch(address: str, file: UnpinnedFile, part: Path, progress: Progress | None) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": "edgedeblur"})
    opened = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    arrived = 0
    with cast("HTTPResponse", opened) as answer, part.open("wb") as stream:
        if answer.headers.get_content_type() == "text/html":
            raise OSError("answered with a web page instead of the file")
        declared = int(answer.headers.get("Content-Length") or 0)
        while (block := answer.read(_BLOCK)) and arrived <= file.most_bytes:
            if not arrived and looks_like_web_page(block):
                raise OSError("answered with a web page instead of the file")
            stream.write(block)
            arrived += len(block)
            if progress is not None:
                progress(arrived, declared or file.most_bytes)
    if declared and arrived < declared:
        raise OSError(f"broke off after {arrived} of {declared} bytes")
    if not file.least_bytes <= arrived <= file.most_bytes:
        raise OSError(
            f"sent {arrived} bytes; {file.name} has {file.least_bytes} to {file.most_bytes}"
        )


def _digest(path: Path) -> str:
    digest = hashlib.sha384()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
