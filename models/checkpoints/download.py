"""Downloads pinned files: resumable, and checked by size and hash before anybody uses them."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

Progress = Callable[[int, int], None]
_BLOCK = 1 << 16
_TIMEOUT_S = 30.0
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|\?xml|!--)", re.I)


class _UnfitError(OSError):
    """An address gave something that is not the file; the next address may."""


@dataclass(frozen=True)
class _Wanted:
    """The pinned file, where its bytes gather, and how to ask for them."""

    part: Path
    size_bytes: int
    sha384: str
    timeout_s: float
    progress: Progress | None


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

    Addresses are tried in order. What came before a connection broke waits in ``<target>.part``
    to be continued; should the whole be wrong then, the same address is asked from the start.

    Raises:
        ValueError: ``target`` exists and is not the pinned file.
        OSError: no address gave the file; the message tells what each one answered.
    """
    if target.exists():
        if not _is_pinned(target, size_bytes, sha384):
            raise ValueError(f"{target}: not the pinned file (size or hash differ); delete it")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    wanted = _Wanted(part, size_bytes, sha384, timeout_s, progress)
    answers: list[str] = []
    for address in addresses:
        try:
            while not _fetch_pinned(address, wanted):
                pass  # what was there before was wrong; once more, from the start
        except (OSError, HTTPException, ValueError) as error:
            answers.append(f"{address}: {getattr(error, 'reason', None) or error}")
        else:
            os.replace(part, target)  # noqa: PTH105 - atomic on every platform
            return
    raise OSError(
        f"could not download {target.name}: {'; '.join(answers)}. "
        f"Fetch it by hand and put it at {target}, or run again to continue"
    )


def looks_like_web_page(start: bytes) -> bool:
    """Whether a file's first bytes are those of an HTML or XML page (a sign-in, an error)."""
    return _WEB_PAGE.match(start) is not None


def _fetch_pinned(address: str, wanted: _Wanted) -> bool:
    """Complete the part; False if the bytes it already had were wrong and are deleted now.

    Raises:
        _UnfitError: the address itself gave something else; that is deleted, too.
    """
    begun_before = _fetch(address, wanted, _leftover(wanted))
    if _is_pinned(wanted.part, wanted.size_bytes, wanted.sha384):
        return True
    wanted.part.unlink()
    if not begun_before:
        raise _UnfitError("the content's SHA-384 is not the pinned one")
    return False


def _leftover(wanted: _Wanted) -> int:
    """Bytes of an earlier try worth continuing; anything else is deleted."""
    if not wanted.part.exists():
        return 0
    with wanted.part.open("rb") as stream:
        page = looks_like_web_page(stream.read(_BLOCK))
    have = wanted.part.stat().st_size
    if page or have > wanted.size_bytes:
        wanted.part.unlink()
        return 0
    return have


def _fetch(address: str, wanted: _Wanted, have: int) -> bool:
    """Bring the part from ``have`` bytes to all of them; whether the first ``have`` stayed."""
    if have == wanted.size_bytes:
        return True
    headers = {"User-Agent": "edgedeblur"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    opened = urllib.request.urlopen(request, timeout=wanted.timeout_s)
    with cast("HTTPResponse", opened) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _UnfitError("answered with a web page instead of the file")
        if answer.status != 206:  # the server ignored the range: start over
            have = 0
        elif _range_start(answer) != have:
            raise _UnfitError(f"sent another part than the one from byte {have} on")
        declared = answer.headers.get("Content-Length")
        if declared is not None and have + int(declared) != wanted.size_bytes:
            offered = have + int(declared)
            raise _UnfitError(f"offers {offered} bytes, expected {wanted.size_bytes}")
        arrived = _append(answer, wanted, have)
    if arrived > wanted.size_bytes:
        wanted.part.unlink()  # the next address must not continue it
        raise _UnfitError(f"sent more than the expected {wanted.size_bytes} bytes")
    if arrived < wanted.size_bytes:
        raise _UnfitError(f"broke off after {arrived} of {wanted.size_bytes} bytes")
    return have > 0


def _append(answer: HTTPResponse, wanted: _Wanted, have: int) -> int:
    """Write the body behind the ``have`` bytes that are there.

    Returns:
        How many bytes there are now; more than wanted if the server does not stop in time.
    """
    block = answer.read(_BLOCK)
    if have == 0 and looks_like_web_page(block):
        raise _UnfitError("answered with a web page instead of the file")
    with wanted.part.open("ab" if have else "wb") as stream:
        while block and have <= wanted.size_bytes:
            stream.write(block)
            have += len(block)
            if wanted.progress is not None:
                wanted.progress(min(have, wanted.size_bytes), wanted.size_bytes)
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
