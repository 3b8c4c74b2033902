"""Finds the PyTorch checkpoint that an artifact is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...runtimes.artifact import Manifest
from ...runtimes.command_line.console import one_line
from ...runtimes.files import sha256_of


@dataclass(frozen=True)
class ReferenceKey:
    """Artifacts with the same key share one reference: same weights, norm mode and size."""

    checkpoint_sha256: str
    norm: str
    size: tuple[int, int] | None


def reference_key(manifest: Manifest) -> ReferenceKey:
    """The key of the reference that an artifact is compared with."""
    return ReferenceKey(manifest.checkpoint.sha256, manifest.norm, manifest.input.size)


def find_checkpoint(manifest: Manifest, offered: Sequence[Path], *, artifact: Path) -> Path:
    """The file of the checkpoint that an artifact was made from, recognised by its SHA-256.

    Args:
        manifest: The artifact's.
        offered: Files of ``--checkpoint``; tried first.
        artifact: The artifact's file, for the message.

    Raises:
        ValueError: neither an offered file nor the manifest's source is that checkpoint.
    """
    wanted = manifest.checkpoint
    for path in offered:
        if sha256_of(path) == wanted.sha256:
            return path
    from ...models.checkpoints.sources import resolve_source

    try:
        path = resolve_source(wanted.source)
        tried = f"{wanted.source} has another SHA-256"
        if sha256_of(path) == wanted.sha256:
            return path
    except (OSError, ValueError) as error:
        tried = one_line(error)
    if offered:
        tried = f"not {', '.join(str(path) for path in offered)}; {tried}"
    raise ValueError(
        f"{artifact}: the checkpoint it was made from (SHA-256 {wanted.sha256[:12]}...) was not "
        f"found ({tried}); pass it with --checkpoint FILE, or use --no-quality"
    )
