"""Downloads pinned files: resumable, and checked by size and hash before anybody uses them."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

Progress = Callable[[int, int], None]
_BLOCK = 1 << 16
_TIMEOUT_S = 30.0
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|\?xml|!--)", re.I)


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

    Addresses are tried in order. What arrived before a connection broke stays in
    ``<target>.part`` and the next try continues from there; if the whole then has another hash,
    the same address is asked once more from the start. What is known to be wrong is deleted at
    once. The file is renamed to ``target`` only when size and SHA-384 are right.

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
            while not _fetch_pinned(address, part, size_bytes, sha384, timeout_s, progress):
                pass  # what was there before was wrong; once more, from the start
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


def looks_like_web_page(start: bytes) -> bool:
    """Whether a file's first bytes are those of an HTML or XML page (a sign-in, an error)."""
    return _WEB_PAGE.match(start) is not None


def _fetch_pinned(
    address: str,
    part: Path,
    size_bytes: int,
    sha384: str,
    timeout_s: float,
    progress: Progress | None,
) -> bool:
    """Complete ``part``; False if the bytes it already had were wrong and are deleted now.

    Raises:
        _UnfitError: the address itself gave something else; ``part`` is deleted, too.
    """
    have = _leftover(part, size_bytes)
    begun_before = _fetch(address, part, have, size_bytes, timeout_s, progress)
    if _is_pinned(part, size_bytes, sha384):
        return True
    part.unlink()
    if not begun_before:
        raise _UnfitError("the content's SHA-384 is not the pinned one")
    return False


def _leftover(part: Path, size_bytes: int) -> int:
    """Bytes of an earlier try worth continuing; anything else is deleted."""
    if not part.exists():
        return 0
    with part.open("rb") as stream:
        page = looks_like_web_page(stream.read(_BLOCK))
    have = part.stat().st_size
    if page or have > size_bytes:
        part.unlink()
        return 0
    return have


def _fetch(
    address: str,
    part: Path,
    have: int,
    size_bytes: int,
    timeout_s: float,
    progress: Progress | None,
) -> bool:
    """Bring ``part`` from ``have`` to ``size_bytes`` bytes; whether the first ``have`` stayed."""
    if have == size_bytes:
        return True
    headers = {"User-Agent": "edgedeblur"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    with cast("HTTPResponse", urllib.request.urlopen(request, timeout=timeout_s)) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _UnfitError("answered with a web page instead of the file")
        if answer.status != 206:  # the server ignored the range: start over
            have = 0
        elif _range_start(answer) != have:
            raise _UnfitError(f"sent another part than the one from byte {have} on")
        declared = answer.headers.get("Content-Length")
        if declared is not None and have + int(declared) != size_bytes:
            raise _UnfitError(f"offers {have + int(declared)} bytes, expected {size_bytes}")
        arrived = _append(answer, part, have, size_bytes, progress)
    if arrived < size_bytes:
        raise _UnfitError(f"broke off after {arrived} of {size_bytes} bytes")
    return have > 0


def _append(
    answer: HTTPResponse, part: Path, have: int, size_bytes: int, progress: Progress | None
) -> int:
    """Write the body behind the ``have`` bytes that are there; the bytes there are now."""
    block = answer.read(_BLOCK)
    if have == 0 and looks_like_web_page(block):
        raise _UnfitError("answered with a web page instead of the file")
    with part.open("ab" if have else "wb") as stream:
        while block:
            have += len(block)
            if have > size_bytes:
                part.unlink()  # the next address must not continue it
                raise _UnfitError(f"sent more than the expected {size_bytes} bytes")
            stream.write(block)
            if progress is not None:
                progress(have, size_bytes)
            block = answer.read(_BLOCK)
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
