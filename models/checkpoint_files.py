"""Bytes to tensors: reads checkpoint files without executing anything, and says what else they are.

Only plain tensors get through: dense, on the CPU, float32, float16 or bfloat16 (int64 for the
counters of norm layers).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .registry import backbone_names

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".h5", ".pth", ".pt")
# What files that are no checkpoints start with, and what to call them.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (
        rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|!--)",
        "an HTML or XML page, not a file",
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?); DeblurGAN-v2's .h5 is a torch.save file"),
    (rb"\s*[{\[]\s*[\"\[{\]}0-9]", "JSON text"),
    (rb"version https://git-lfs", "a Git LFS pointer; run git lfs pull"),
    (rb"\x08[\x01-\x10]\x12", "an ONNX file"),
)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Names and tensors of a file, and its metadata (``.safetensors`` only).

    Raises:
        ValueError: another ending, empty, damaged, something else, or holding Python objects.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: checkpoints end in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; fetch it again")
    if kind := _something_else(path):
        raise ValueError(f"{path}: {kind}; fetch it again or give another file")
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path), {}


def _something_else(path: Path) -> str:
    """What a file is that only pretends to be a checkpoint; empty if it may be one."""
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start.strip(b"\0"):
        return "holds nothing but zeros where it starts"
    others = _OTHERS
    if path.suffix.lower() == ".safetensors":
        others = others[:2] + others[3:4]  # its length and JSON header may look like the rest
    return next((name for pattern, name in others if re.match(pattern, start, re.I)), "")


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            return {name: stream.get_tensor(name) for name in stream.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, AttributeError, KeyError) as error:
        # The last two: a type of number that this torch or safetensors does not know.
        message = f"{path}: not a whole .safetensors file ({_first(error)}); fetch or save it again"
        raise ValueError(message) from error


def _read_torch(path: Path) -> dict[str, Any]:
    import torch

    _refuse_torchscript(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported global" in str(error):
            raise ValueError(
                f"{path}: refused, as it holds Python objects besides tensors and loading them "
                "would run their code; ask its author for a .safetensors file or a plain state dict"
            ) from error
        raise _not_whole(path, error) from error
    except (RuntimeError, EOFError, KeyError, AttributeError, OSError, ValueError) as error:
        raise _not_whole(path, error) from error
    except (TypeError, IndexError, UnicodeDecodeError, AssertionError, OverflowError) as error:
        # What the unpickler makes of random bytes.
        raise _not_whole(path, error) from error
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return content


def _not_whole(path: Path, error: BaseException) -> ValueError:
    return ValueError(f"{path}: not a whole torch checkpoint ({_first(error)}); fetch it again")


def _refuse_torchscript(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise ValueError(
            f"{path}: a TorchScript archive, which is code; save its state_dict() instead"
        )


def check_metadata(
    metadata: Mapping[str, str], path: Path, *, backbone: str, decoder_norm: str
) -> None:
    """Whether a header says what the tensors say.

    Raises:
        ValueError: an unknown word, or a contradiction.
    """
    from .norm import DECODER_NORMS, NORM_MODES

    for key, known, found in (
        ("backbone", backbone_names(), backbone),
        ("decoder_norm", tuple(DECODER_NORMS), decoder_norm),
        ("norm", NORM_MODES, None),
    ):
        said = metadata.get(key)
        if said is None:
            continue
        if said not in known:
            raise ValueError(
                f"{path}: its header gives {key} as {said!r}; known are {', '.join(known)}"
            )
        if found is not None and said != found:
            raise ValueError(
                f"{path}: its header gives {key} as {said!r}, but its tensors are {found}; "
                "one of the two was altered"
            )


def as_float32(name: str, tensor: object, path: Path) -> Tensor:
    """A tensor as inference takes it: float32, or int64 for a norm layer's counter.

    Raises:
        ValueError: not a tensor, or of a kind that cannot be a weight.
    """
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{path}: {name} is a {type(tensor).__name__}, not a tensor")
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized:
        kind = f"{'quantised' if tensor.is_quantized else 'sparse'} {kind}"
    elif tensor.device.type != "cpu":
        kind = f"{kind} without contents (device {tensor.device.type})"
    elif name.endswith("num_batches_tracked"):
        if tensor.dtype == torch.int64:
            return tensor
    elif tensor.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return tensor.float()
    raise ValueError(
        f"{path}: {name} is {kind}; weights are dense float32, float16 or bfloat16 (counters "
        "int64), so convert and save it again"
    )


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:120]
