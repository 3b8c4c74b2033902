"""Downloads pinned files: resumable, and checked by size and hash."""

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


class _WrongContentError(OSError):
    """An address returned something that is not the file; try the next."""


@dataclass(frozen=True)
class _PinnedFile:
    """The pinned file's size and hash, its partial file, and how to request it."""

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
    """Download a file of known size and hash to ``target``, unless it exists already.

    Addresses are tried in order. After a broken connection, ``<target>.part`` keeps the bytes, and
    the next try resumes there; if the whole file is then wrong, it is fetched from the start.

    Raises:
        ValueError: ``target`` exists and is not the pinned file.
        OSError: no address returned the file; the message has each one's error.
    """
    if target.exists():
        if not _is_pinned(target, size_bytes, sha384):
            raise ValueError(f"{target}: not the pinned file (size or hash differ); delete it")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    wanted = _PinnedFile(part, size_bytes, sha384, timeout_s, progress)
    answers: list[str] = []
    for address in addresses:
        try:
            while not _fetch_pinned(address, wanted):
                pass  # the resumed bytes were wrong; again, from the start
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


def _fetch_pinned(address: str, wanted: _PinnedFile) -> bool:
    """Complete the partial file; False if its earlier bytes were wrong, which deletes it.

    Raises:
        _WrongContentError: the address returned another file, which is deleted too.
    """
    begun_before = _fetch(address, wanted, _resumable_bytes(wanted))
    if _is_pinned(wanted.part, wanted.size_bytes, wanted.sha384):
        return True
    wanted.part.unlink()
    if not begun_before:
        raise _WrongContentError("the content's SHA-384 is not the pinned one")
    return False


def _resumable_bytes(wanted: _PinnedFile) -> int:
    """Bytes of an earlier try that can be resumed; deletes anything else."""
    if not wanted.part.exists():
        return 0
    with wanted.part.open("rb") as stream:
        page = looks_like_web_page(stream.read(_BLOCK))
    have = wanted.part.stat().st_size
    if page or have > wanted.size_bytes:
        wanted.part.unlink()
        return 0
    return have


def _fetch(address: str, wanted: _PinnedFile, have: int) -> bool:
    """Fetch the bytes from ``have`` on; whether the server resumed there."""
    if have == wanted.size_bytes:
        return True
    headers = {"User-Agent": "edgedeblur"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    opened = urllib.request.urlopen(request, timeout=wanted.timeout_s)
    with cast("HTTPResponse", opened) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _WrongContentError("answered with a web page instead of the file")
        if answer.status != 206:  # the server ignored the range: start over
            have = 0
        elif _range_start(answer) != have:
            raise _WrongContentError(f"sent another part than the one from byte {have} on")
        declared = answer.headers.get("Content-Length")
        if declared is not None and have + int(declared) != wanted.size_bytes:
            offered = have + int(declared)
            raise _WrongContentError(f"offers {offered} bytes, expected {wanted.size_bytes}")
        arrived = _append(answer, wanted, have)
    if arrived > wanted.size_bytes:
        wanted.part.unlink()  # the next address must not continue it
        raise _WrongContentError(f"sent more than the expected {wanted.size_bytes} bytes")
    if arrived < wanted.size_bytes:
        raise _WrongContentError(f"broke off after {arrived} of {wanted.size_bytes} bytes")
    return have > 0


def _append(answer: HTTPResponse, wanted: _PinnedFile, have: int) -> int:
    """Append the response body to the ``have`` earlier bytes.

    Returns:
        How many bytes there are now; more than wanted if the server does not stop in time.
    """
    block = answer.read(_BLOCK)
    if have == 0 and looks_like_web_page(block):
        raise _WrongContentError("answered with a web page instead of the file")
    with wanted.part.open("ab" if have else "wb") as stream:
        while block and have <= wanted.size_bytes:
            stream.write(block)
            have += len(block)
            if wanted.progress is not None:
                wanted.progress(min(have, wanted.size_bytes), wanted.size_bytes)
            block = answer.read(_BLOCK)
    return have


def _range_start(answer: HTTPResponse) -> int:
    """First byte of a 206 answer (``Content-Range: bytes 100-199/200``), -1 if it states none."""
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
