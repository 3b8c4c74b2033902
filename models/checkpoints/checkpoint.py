"""Reads and writes checkpoints. They are untrusted: nothing in them is ever executed.

Formats read: the released ``.h5`` (a ``torch.save`` of ``{"model": state_dict}``), plain state
dicts (``.pth``, ``.pt``), and ``.safetensors``, which is also what is written. `files` checks
the file, this module the tensors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..network.registry import backbone_names, build_generator, get_network, networks
from ..network.widths import Widths, network_key
from .files import read_tensors, shown
from .header import check_header, stored_widths, widths_header
from .sources import resolve_source, zoo_names

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..network.generator import Generator
    from ..network.network import Network

_WRAPPER = "module."  # nn.DataParallel's prefix


@dataclass(frozen=True)
class Checkpoint:
    """Weights, and which network they belong to.

    Attributes:
        backbone: Found from the names of the tensors, or from the header.
        decoder_norm: ``batch`` or ``instance``, found from the names of the tensors; ``none`` for
            networks without norms.
        norm: The mode the weights were trained for: ``frozen`` or ``live``.
        state: Name -> dense CPU tensor, float32 (int64 for ``num_batches_tracked``), copied from
            the file; aliases and wrapper prefixes removed.
        sha256: Of the file as read.
        source: ``zoo:<network>``, ``released``, or the file's path.
        metadata: Text stored in a ``.safetensors`` header; empty for other formats.
        widths: The architecture record, from the header; the backbone's default without one. None
            for networks of one form.
    """

    backbone: str
    decoder_norm: str
    norm: str
    state: Mapping[str, Tensor]
    sha256: str
    source: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    widths: Widths | None = None

    @property
    def described(self) -> Network:
        """What the tools must know of the network."""
        return get_network(self.backbone)

    @property
    def size_multiple(self) -> int:
        """Sides of pictures are multiples of this, in pixels."""
        return self.described.size_multiple

    @property
    def key(self) -> str:
        """What choices that were tuned for this network are stored under."""
        default = self.described.widths
        if default is None:
            return self.backbone
        return network_key(self.backbone, self.widths or default, default)

    @property
    def network(self) -> str:
        """The network's name, in file names and tables: the header's, or `key`."""
        return self.metadata.get("network", self.key)

    @property
    def dead_features(self) -> bool:
        """Whether the backbone's unused layers are stored."""
        network = self.described
        return any(network.is_dead(name) for name in self.state)


def load_checkpoint(source: str, *, backbone: str | None = None) -> Checkpoint:
    """Read a checkpoint and check that it is one of our networks, complete and finite.

    Args:
        source: A path, ``zoo:<network>``, or ``released`` (downloads what was released for the
            backbone, ``fpn_mobilenet.h5`` without one).
        backbone: The expected backbone, or a network of the zoo; None for any.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, not a checkpoint, holding code, another network's, not the
            expected one, with missing, misshapen or unsupported tensors (sparse, quantised,
            integers, ...), with NaN, with negative variances, or with a header that
            contradicts the tensors.
    """
    path = resolve_source(source, backbone=backbone)
    state, metadata = read_tensors(path)
    state = _without_wrapper_names(state)
    network = _recognise(state, metadata, path)
    found, state = network.name, network.renamed(state)
    decoder_norm = network.decoder_norm(state)
    norm = metadata.get("norm", "live" if decoder_norm == "instance" else "frozen")
    check_header(metadata, {"backbone": found, "decoder_norm": decoder_norm}, norm, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    widths = stored_widths(metadata, found, path)
    checkpoint = Checkpoint(found, decoder_norm, norm, state, digest, source, metadata, widths)
    if backbone is not None and not _is_network(checkpoint, backbone):
        article = "an" if checkpoint.network[0] in "aeiou" else "a"
        raise ValueError(
            f"{path}: holds {article} {checkpoint.network} checkpoint, not {backbone}; "
            f"use --backbone {found} or another --checkpoint"
        )
    return dataclasses.replace(checkpoint, state=_checked_tensors(checkpoint, path))


def generator_from(checkpoint: Checkpoint, *, norm: str | None = None) -> Generator:
    """The generator in eval mode with the checkpoint's weights and norm mode (or ``norm``)."""
    from ..network.norm import set_norm_mode

    generator = empty_generator(checkpoint)
    generator.load_state_dict(dict(checkpoint.state))
    set_norm_mode(generator, norm or checkpoint.norm)
    return generator.eval()


def empty_generator(checkpoint: Checkpoint) -> Generator:
    """The checkpoint's network with random weights."""
    return build_generator(
        checkpoint.backbone,
        decoder_norm=checkpoint.decoder_norm,
        dead_features=checkpoint.dead_features,
        widths=checkpoint.widths,
    )


def save_checkpoint(
    generator: Generator, path: Path, *, norm: str, metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``.safetensors`` whole or not at all, with backbone, norms and ``metadata``.

    Raises:
        ValueError: another suffix, or ``norm`` is neither ``frozen`` nor ``live``.
        OSError: the folder cannot be written, or the disk is full.
    """
    from safetensors.torch import save

    from ..network.norm import NORM_MODES

    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: checkpoints are written as .safetensors; change the suffix")
    if norm not in NORM_MODES:
        raise ValueError(f"norm must be frozen or live, not {norm!r}")
    header = {
        **(metadata or {}),
        **widths_header(generator),
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


def _without_wrapper_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Remove DataParallel's prefix."""
    names = [str(name) for name in state]
    prefix = _WRAPPER if names and all(name.startswith(_WRAPPER) for name in names) else ""
    return {str(name)[len(prefix) :]: tensor for name, tensor in state.items()}


def _recognise(state: Mapping[str, Any], metadata: Mapping[str, str], path: Path) -> Network:
    said = metadata.get("backbone")
    if said is not None and said in backbone_names():
        network = get_network(said)
        if not network.marks:
            return network  # whether the tensors are its, all of them, is checked afterwards
    known = list(networks())
    for network in known:
        if network.marks and all(mark in state for mark in network.marks):
            return network
    titles = ", ".join(f"{network.title} ({network.name})" for network in known)
    some = ", ".join(shown(name, 60) for name in list(state)[:3]) or "no tensors"
    raise ValueError(f"{path}: holds none of the known networks, {titles} (it holds {some}, ...)")


def _is_network(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a backbone's or network's name is the checkpoint's, whatever weights it has."""
    if name in (checkpoint.backbone, checkpoint.network):
        return True
    # Weights of one's own may name themselves otherwise; the shipped ones tell the widths.
    return name in zoo_names() and load_checkpoint(f"zoo:{name}").key == checkpoint.key


def _checked_tensors(checkpoint: Checkpoint, path: Path) -> dict[str, Tensor]:
    """Exactly the network's tensors, checked, as `Checkpoint.state` describes."""
    import torch

    with torch.device("meta"):  # a header may name widths whose tensors the file does not hold
        generator = empty_generator(checkpoint)
    expected = {name: tuple(t.shape) for name, t in generator.state_dict().items()}
    missing = sorted(set(expected) - set(checkpoint.state))
    extra = sorted(set(checkpoint.state) - set(expected))
    if missing or extra:
        raise ValueError(
            f"{path}: not a complete {checkpoint.backbone} checkpoint "
            f"(missing: {_first_names(missing)}; unknown: {_first_names(extra)})"
        )
    return {
        name: _checked_tensor(checkpoint.state[name], name, shape, path)
        for name, shape in expected.items()
    }


def _checked_tensor(tensor: object, name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    import torch

    counter = name.endswith("num_batches_tracked")
    allowed = (torch.int64,) if counter else (torch.float32, torch.float16, torch.bfloat16)
    # Subclasses may override the operations below.
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise ValueError(f"{path}: {name} is of type {type(tensor).__name__}, not a plain tensor")
    assert isinstance(tensor, torch.Tensor)
    if unsupported := _unsupported_kind(tensor, allowed):
        kinds = ", ".join(str(kind).removeprefix("torch.") for kind in allowed)
        raise ValueError(
            f"{path}: {name} is {unsupported}; only dense tensors of {kinds} are supported, "
            "so convert it and save it again"
        )
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{path}: {name} has shape {tuple(tensor.shape)}, expected {shape}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{path}: {name} holds NaN or infinity; use another checkpoint")
    if name.endswith("running_var") and (tensor < 0).any():
        raise ValueError(f"{path}: {name} holds negative variances; use another checkpoint")
    # A copy, as tensors of a .safetensors file otherwise change with the file.
    wanted = torch.int64 if counter else torch.float32
    return tensor.detach().to(wanted, copy=True, memory_format=torch.contiguous_format)


def _unsupported_kind(tensor: Tensor, allowed: tuple[torch.dtype, ...]) -> str | None:
    """Why a tensor is not a dense CPU tensor of an allowed type; None if it is."""
    import torch

    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return f"quantised ({tensor.dtype})"
    if tensor.layout is not torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type!r}, without its numbers"
    if tensor.dtype not in allowed:
        return f"of type {str(tensor.dtype).removeprefix('torch.')}"
    return None


def _first_names(names: list[str]) -> str:
    first = ", ".join(shown(name, 60) for name in names[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first or "none"
