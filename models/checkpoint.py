"""Reading and writing checkpoints. They are untrusted: nothing in them is ever executed.

Formats read: the released ``.h5`` (a ``torch.save`` of ``{"model": state_dict}``), plain state
dicts (``.pth``, ``.pt``), and ``.safetensors``, which is also what is written.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint_files import as_float32, check_metadata, read_tensors
from .registry import build_generator, get_backbone
from .sources import resolve_source

if TYPE_CHECKING:
    from torch import Tensor

    from .generator import Generator

_WRAPPER = "module."  # nn.DataParallel's prefix


@dataclass(frozen=True)
class Checkpoint:
    """Weights and what they are.

    Attributes:
        backbone: Found from the names of the tensors.
        decoder_norm: ``batch`` or ``instance``, found likewise.
        norm: The mode the weights were trained for: ``frozen`` or ``live``.
        state: Name -> tensor, aliases and wrapper prefixes removed.
        sha256: Of the file as read.
        source: ``zoo:<backbone>``, ``released``, or the file's path.
        metadata: Text stored in a ``.safetensors`` header; empty for other formats.
    """

    backbone: str
    decoder_norm: str
    norm: str
    state: Mapping[str, Tensor]
    sha256: str
    source: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def dead_features(self) -> bool:
        """Whether the backbone's unused layers are stored."""
        first_dead = get_backbone(self.backbone).live_features
        return any(name.startswith(f"fpn.features.{first_dead}.") for name in self.state)


def load_checkpoint(source: str, *, backbone: str | None = None) -> Checkpoint:
    """Read a checkpoint and check that it is one of our networks, complete and finite.

    Args:
        source: A path, ``zoo:<backbone>``, or ``released`` (downloads ``fpn_mobilenet.h5``).
        backbone: What the caller expects, if anything.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: truncated, not a checkpoint, holding code, another network's, another
            backbone's, with missing or misshapen tensors, or with NaN.
    """
    path = resolve_source(source)
    state, metadata = read_tensors(path)
    state = _plain_names(state)
    found = _recognise(state, path)
    if backbone is not None and backbone != found:
        raise ValueError(
            f"{path}: holds a {found} checkpoint, not {backbone}; "
            f"use --backbone {found} or another --checkpoint"
        )
    decoder_norm = "batch" if "fpn.td1.1.weight" in state else "instance"
    check_metadata(metadata, path, backbone=found, decoder_norm=decoder_norm)
    norm = metadata.get("norm", "frozen" if decoder_norm == "batch" else "live")
    state = {name: as_float32(name, tensor, path) for name, tensor in state.items()}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    checkpoint = Checkpoint(found, decoder_norm, norm, state, digest, source, metadata)
    _check_tensors(checkpoint, path)
    return checkpoint


def generator_from(checkpoint: Checkpoint, *, norm: str | None = None) -> Generator:
    """The generator in eval mode with the checkpoint's weights and norm mode (or ``norm``)."""
    from .norm import set_norm_mode

    generator = build_generator(
        checkpoint.backbone,
        decoder_norm=checkpoint.decoder_norm,
        dead_features=checkpoint.dead_features,
    )
    generator.load_state_dict(dict(checkpoint.state))
    set_norm_mode(generator, norm or checkpoint.norm)
    return generator.eval()


def save_checkpoint(
    generator: Generator, path: Path, *, norm: str, metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``.safetensors`` whole or not at all, with backbone, norms and ``metadata``.

    Raises:
        ValueError: another suffix.
        OSError: the folder cannot be written, or the disk is full.
    """
    from safetensors.torch import save

    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: checkpoints are written as .safetensors; change the suffix")
    header = {
        **(metadata or {}),
        "backbone": generator.backbone,
        "decoder_norm": generator.decoder_norm,
        "norm": norm,
        "format": "edgedeblur",
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    payload = save(tensors, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
        os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp makes it private
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(f"cannot write {path} ({error.strerror})") from error


def _plain_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Remove DataParallel's prefix and the second names (``fpn.encK.*``) of backbone layers."""
    names = [str(name) for name in state]
    prefix = _WRAPPER if names and all(name.startswith(_WRAPPER) for name in names) else ""
    plain = {str(name)[len(prefix) :]: tensor for name, tensor in state.items()}
    return {name: t for name, t in plain.items() if not name.startswith("fpn.enc")}


def _recognise(state: Mapping[str, Any], path: Path) -> str:
    if "fpn.features.0.0.weight" in state and "head1.block0.weight" in state:
        return "mobilenet"
    if "fpn.features.0.0.weight" in state and "head1.block0.depthwise.weight" in state:
        return "mobilenet_dsc"
    other = "no DeblurGAN-v2 pyramid over MobileNet"
    if any(name.startswith("fpn.inception") for name in state):
        other = "the Inception-ResNet-v2 generator, which is not supported"
    some = ", ".join(list(state)[:3]) or "no tensors"
    raise ValueError(f"{path}: {other} (it holds {some}, ...)")


def _check_tensors(checkpoint: Checkpoint, path: Path) -> None:
    import torch

    generator = build_generator(
        checkpoint.backbone,
        decoder_norm=checkpoint.decoder_norm,
        dead_features=checkpoint.dead_features,
    )
    expected = {name: tuple(t.shape) for name, t in generator.state_dict().items()}
    missing = sorted(set(expected) - set(checkpoint.state))
    extra = sorted(set(checkpoint.state) - set(expected))
    if missing or extra:
        raise ValueError(
            f"{path}: not a complete {checkpoint.backbone} checkpoint "
            f"(missing: {_some(missing)}; unknown: {_some(extra)})"
        )
    for name, shape in expected.items():
        tensor = checkpoint.state[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{path}: {name} has shape {tuple(tensor.shape)}, expected {shape}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} holds NaN or infinity; use another checkpoint")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise ValueError(f"{path}: {name} holds a negative variance; use another checkpoint")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "none"
