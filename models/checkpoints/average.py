"""Averages several checkpoints' weights into one checkpoint.

Fine-tuned from one start, networks lie in one valley, and the mean of their weights is often better
than each (Wortsman et al., "Model soups", ICML 2022). Of networks trained apart it is noise, so
measure it: ``deblur-train --evaluate --init MEAN``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoint import Checkpoint, generator_from, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from torch import Tensor


def average_checkpoints(sources: Sequence[str], path: Path) -> None:
    """Write the mean of the checkpoints' weights and running statistics to ``path``.

    ``sources``: two or more, each as `load_checkpoint` takes it. Sums are made in double precision.
    The result's ``init`` names the SHA-256 of each.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint` and `save_checkpoint`; or fewer than
            two, or checkpoints of different networks or norms.
        OSError: the folder cannot be written, or the disk is full.
    """
    if len(sources) < 2:
        raise ValueError("--average needs two checkpoints or more")
    checkpoints = [load_checkpoint(source) for source in sources]
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if _kind(other) != _kind(first):
            raise ValueError(
                f"{other.source}: {_kind(other)}, but {first.source}: {_kind(first)}; only "
                "checkpoints of the same network can be averaged"
            )
    mean = {name: _mean([c.state[name] for c in checkpoints]) for name in first.state}
    generator = generator_from(dataclasses.replace(first, state=mean))
    made_of = " + ".join(checkpoint.sha256 for checkpoint in checkpoints)
    named = {name: text for name, text in first.metadata.items() if name == "network"}
    metadata = {**named, "init": f"the mean of {made_of}"}
    save_checkpoint(generator, path, norm=first.norm, metadata=metadata)


def _kind(checkpoint: Checkpoint) -> str:
    dead = ", with unused layers" if checkpoint.dead_features else ""
    return (
        f"{checkpoint.key}, {checkpoint.decoder_norm} norms in the decoder, {checkpoint.norm}{dead}"
    )


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():  # batches counted by the norms; nothing reads them
        return tensors[0]
    total = sum((t.double() for t in tensors[1:]), start=tensors[0].double())
    return (total / len(tensors)).to(tensors[0].dtype)
