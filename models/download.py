"""Downloads pinned files: resumable, and checked by size and hash before anybody uses them."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

Progress = Callable[[int, int], None]
_BLOCK = 1 << 16
_TIMEOUT_S = 30.0


class _UnfitError(OSError):
    """An address gave something that is not the file; the next address may."""


def download(
    addresses: Sequence[str],
    target: Path,
    size_bytes: int,
    sha384: str,
    *,
    timeout_s: float = _TIMEOUT_S,
    progress: Progress | None = None,
) -> None:
    """Bring a file of known size and hash to ``target``; nothing happens if it is there already.

    Addresses are tried in order. What arrived stays in ``<target>.part`` and the next try
    continues from there; it is renamed to ``target`` only when size and SHA-384 are right.

    Raises:
        ValueError: ``target`` exists and is not the pinned file.
        OSError: no address gave the file; the message tells what each one answered.
    """
    if target.exists():
        if not _is_pinned(target, size_bytes, sha384):
            raise ValueError(f"{target}: not the pinned file (size or hash differ); delete it")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    answers: list[str] = []
    for address in addresses:
        try:
            _fetch(address, part, size_bytes, timeout_s, progress)
            if not _is_pinned(part, size_bytes, sha384):
                part.unlink()
                raise _UnfitError("the content's SHA-384 is not the pinned one")
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            answers.append(f"{address}: {reason}")
            continue
        os.replace(part, target)  # noqa: PTH105 - atomic on every platform
        return
    raise OSError(
        f"could not download {target.name}: {'; '.join(answers)}. "
        f"Fetch it by hand and put it at {target}, or run again to continue"
    )


def _fetch(
    address: str, part: Path, size_bytes: int, timeout_s: float, progress: Progress | None
) -> None:
    """Append what is missing to ``part``; on return it has ``size_bytes`` bytes."""
    have = part.stat().st_size if part.exists() else 0
    if have > size_bytes:
        part.unlink()
        have = 0
    if have == size_bytes:
        return
    headers = {"User-Agent": "edgedeblur"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    with cast("HTTPResponse", urllib.request.urlopen(request, timeout=timeout_s)) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _UnfitError("answered with a web page instead of the file")
        resumed = answer.status == 206 and _range_start(answer) == have
        if not resumed:  # the server ignored the range: start over
            have = 0
        declared = answer.headers.get("Content-Length")
        if declared is not None and have + int(declared) != size_bytes:
            raise _UnfitError(f"offers {have + int(declared)} bytes, expected {size_bytes}")
        have = _append(answer, part, have, size_bytes, progress)
    if have < size_bytes:
        raise _UnfitError(f"broke off after {have} of {size_bytes} bytes")


def _append(
    answer: HTTPResponse, part: Path, have: int, size_bytes: int, progress: Progress | None
) -> int:
    """Write the body behind the ``have`` bytes that are there; the bytes there are now."""
    with part.open("ab" if have else "wb") as stream:
        while block := answer.read(_BLOCK):
            have += len(block)
            if have > size_bytes:
                raise _UnfitError(f"sent more than the expected {size_bytes} bytes")
            stream.write(block)
            if progress is not None:
                progress(have, size_bytes)
    return have


def _range_start(answer: HTTPResponse) -> int:
    """First byte of a 206 answer (``Content-Range: bytes 100-199/200``), -1 if it says none."""
    words = (answer.headers.get("Content-Range") or "").split()
    start = words[1].partition("-")[0] if len(words) == 2 else ""
    return int(start) if start.isdigit() else -1


def _is_pinned(path: Path, size_bytes: int, sha384: str) -> bool:
    if path.stat().st_size != size_bytes:
        return False
    digest = hashlib.sha384()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest() == sha384
