"""Reads untrusted weight files: detects the format, then reads the tensors.

The format is detected from the content before any reader opens the file, so that the message can
name a sign-in page or another framework's file. Nothing in a file is ever executed.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from .download import looks_like_web_page

SUFFIXES = (".safetensors", ".h5", ".pth", ".pt")
_SAFETENSORS, _TORCH = "safetensors", "torch"
_START = 4096  # bytes looked at; HDF5 may begin at 512, 1024 or 2048
_HDF5 = b"\x89HDF\r\n\x1a\n"
# torch.save's number 0x1950a86a20f9469cfc6c as pickled before the zip format (torch < 1.6).
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
_HOW_TO_SAVE = "save the network's state_dict with torch.save (.pth), or as .safetensors"


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a file: name -> value (not yet checked to be a tensor), and its metadata.

    Raises:
        ValueError: not a file of these formats, damaged, under another format's suffix, or
            holding Python objects, which are never created.
        OSError: it cannot be read.
    """
    suffix, content = path.suffix.lower(), _content(path)
    known = {_SAFETENSORS: ".safetensors", _TORCH: ".pth"}
    if suffix not in SUFFIXES:
        hint = f"it {content}"
        if content in known:
            hint = f"this one holds {content} data: rename it to end in {known[content]}"
        raise ValueError(f"{path}: checkpoints end in {', '.join(SUFFIXES)}; {hint}")
    if content not in known:
        raise ValueError(f"{path}: {content}")
    if (suffix == ".safetensors") != (content == _SAFETENSORS):
        raise ValueError(
            f"{path}: holds {content} data under another format's ending; "
            f"rename it to end in {known[content]}"
        )
    if content == _SAFETENSORS:
        return _read_safetensors(path)
    return _read_torch(path), {}


def shown(text: object, limit: int = 120) -> str:
    """Text from a file, made safe for messages: printable, one line, at most ``limit`` long."""
    plain = "".join(c if c.isprintable() else "?" for c in str(text))
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def _content(path: Path) -> str:
    """``safetensors``, ``torch``, or what else the file looks like, as the end of a sentence."""
    with path.open("rb") as stream:
        start = stream.read(_START)
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and length <= _MAX_HEADER_BYTES:
        return _SAFETENSORS
    if start.startswith(b"PK\x03\x04"):
        return _zip_content(path)
    if start.startswith(b"\x80"):
        if _LEGACY_MAGIC in start[:64]:
            return _TORCH
        return f"looks like a plain pickle, which could run code when read; {_HOW_TO_SAVE}"
    return _other_content(start)


def _zip_content(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {PurePosixPath(name).name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        return _TORCH  # damaged; torch's own reader says how
    if "constants.pkl" in names:
        return f"looks like a TorchScript archive; {_HOW_TO_SAVE}"
    if "data.pkl" not in names:
        return f"looks like a zip archive that torch.save did not write; {_HOW_TO_SAVE}"
    return _TORCH


def _other_content(start: bytes) -> str:
    if not start:
        return "the file is empty; fetch it again"
    if looks_like_web_page(start):
        return "looks like an HTML page, as servers send to sign in; fetch the file itself"
    if any(start.startswith(_HDF5, offset) for offset in (0, 512, 1024, 2048)):
        return f"looks like an HDF5 file (Keras?); {_HOW_TO_SAVE}"
    if start.startswith(b"version https://git-lfs"):
        return "looks like a Git LFS pointer; fetch the file itself with git lfs pull"
    if start.startswith(b"\x1f\x8b"):
        return "looks like a gzip archive; unpack it"
    if re.match(rb"\x08[\x01-\x10]\x12", start):  # its first fields: IR version, producer's name
        return f"looks like an ONNX file, which is made from a checkpoint; {_HOW_TO_SAVE}"
    if not any(start):
        return "begins with nothing but zeros, as a broken download leaves it; fetch it again"
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in start):
        kind = "JSON" if start.lstrip().startswith((b"{", b"[")) else "text"
        return f"looks like {kind}, not weights; fetch the file itself"
    return f"begins like no checkpoint (with {start[:8].hex(' ')}); fetch it again"


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            return {name: stream.get_tensor(name) for name in stream.keys()}, metadata  # noqa: SIM118
    except Exception as error:
        # Besides SafetensorError, types that torch lacks raise other exceptions.
        message = (
            f"{path}: not a whole .safetensors file ({_reason(error)}); fetch or save it again"
        )
        raise ValueError(message) from error


def _read_torch(path: Path) -> dict[str, Any]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensors that are refused later
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle can raise any exception.
        raise ValueError(f"{path}: {_refusal(error)}") from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return content


def _refusal(error: Exception) -> str:
    wanted = re.search(r"\bGLOBAL (\S+)", str(error))  # "Unsupported global: GLOBAL os.system ..."
    if isinstance(error, pickle.UnpicklingError) and wanted:
        return (
            f"refused, as it holds Python objects besides tensors ({shown(wanted[1], 60)}) and "
            "loading them would run their code; ask its author for a .safetensors file or a "
            "plain state dict"
        )
    return f"not a whole torch checkpoint ({_reason(error)}); fetch it again"


def _reason(error: Exception) -> str:
    # torch wraps the reason into advice to load without protection, which must not be shown.
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    first = (text.splitlines() or [""])[0].split(". ")[0].rstrip(".")
    return shown(first or type(error).__name__)
